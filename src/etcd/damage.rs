//! Signs that a member's data is damaged, in what it says itself. Pure.

/// Words of etcd, of its log of writes and of its database where what they read is not what was written. Sources: errors of
/// `server/storage/wal`, `server/etcdserver/api/snap` and `corrupt.go` of etcd 3.5 and 3.6, and of bbolt.
const SIGNS: [&str; 15] = [
    "crc mismatch",
    "CRC mismatch",
    "checksum error",
    "checksum mismatch",
    "invalid database",
    "version mismatch",
    "file size too small",
    "invalid freelist",
    "wal: file not found",
    "failed to read WAL, cannot be repaired",
    "unexpected type:",
    "failed to recover v3 backend from snapshot",
    "data inconsistency",
    "inconsistent data",
    "CORRUPT",
];

/// The last line that tells of damaged data; none where no line does.
pub fn damage(lines: &[String]) -> Option<&str> {
    let tells = |line: &&String| SIGNS.iter().any(|sign| line.contains(sign));
    lines.iter().rev().find(tells).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_cannot_read_its_log_is_damaged_and_one_that_waits_is_not() {
        let damaged = r#"{"level":"fatal","caller":"etcdserver/storage.go:95","msg":"failed to read WAL, cannot be repaired","error":"walpb: crc mismatch"}"#;
        let lines = [r#"{"level":"info","msg":"Starting etcd"}"#, damaged, "exit status 1"].map(String::from);
        assert_eq!(damage(&lines), Some(damaged));
        let lines = [
            r#"{"level":"warn","msg":"prober detected unhealthy status","error":"dial tcp 10.0.0.2:2380: connect: connection refused"}"#,
        ];
        assert_eq!(damage(&lines.map(String::from)), None);
    }
}
