//! Whether an object that etcd has uses a field, read from its bytes: no apiserver need answer, and one that does not know
//! the field hides nothing.
//!
//! Source: `k8s.io/apimachinery/pkg/runtime/serializer/protobuf`: four bytes, and then a message whose second field is the
//! object.

use serde_json::Value;

use crate::release::OneWay;

const PROTOBUF: &[u8] = b"k8s\0";
/// The field of the outermost message that is the object.
const RAW: u32 = 2;

/// Whether a stored object uses one of the fields; any object of a kind that names none does. `None` where its bytes cannot
/// be read.
pub(super) fn uses(value: &[u8], one_way: &OneWay) -> Option<bool> {
    if one_way.fields.is_empty() {
        return Some(true);
    }
    if let Some(message) = value.strip_prefix(PROTOBUF) {
        let uses = |numbers: &Vec<u32>| {
            let way: Vec<u32> = [RAW].iter().chain(numbers).copied().collect();
            if numbers.is_empty() { None } else { reaches(message, &way) }
        };
        return any(one_way.fields.values().map(uses));
    }
    let object: Value = serde_json::from_slice(value).ok()?;
    Some(one_way.fields.keys().any(|field| holds(&object, &field.split('.').collect::<Vec<_>>())))
}

fn any(answers: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    answers.into_iter().try_fold(false, |found, answer| Some(found | answer?))
}

/// Whether these keys follow one another somewhere in it.
fn holds(value: &Value, keys: &[&str]) -> bool {
    let follows = || {
        let last = keys.iter().try_fold(value, |value, key| value.get(*key));
        last.is_some_and(|last| !last.is_null())
    };
    match value {
        Value::Object(map) => follows() || map.values().any(|value| holds(value, keys)),
        Value::Array(list) => list.iter().any(|value| holds(value, keys)),
        _ => false,
    }
}

/// Whether a message has the field at the end of this way; each may be repeated.
fn reaches(mut message: &[u8], way: &[u32]) -> Option<bool> {
    let [first, rest @ ..] = way else { return Some(true) };
    let mut found = false;
    while !message.is_empty() {
        let (number, inner, left) = field(message)?;
        message = left;
        if number == u64::from(*first) {
            found |= match inner {
                Some(inner) => reaches(inner, rest)?,
                None => rest.is_empty(),
            };
        }
    }
    Some(found)
}

/// A field: its number, its bytes where it has some of its own, and what comes after it.
type Field<'a> = (u64, Option<&'a [u8]>, &'a [u8]);

/// The first field of a message.
fn field(message: &[u8]) -> Option<Field<'_>> {
    let (tag, rest) = varint(message)?;
    let (inner, left) = match tag & 7 {
        0 => (None, varint(rest)?.1),
        1 => (None, rest.get(8..)?),
        2 => {
            let (length, rest) = varint(rest)?;
            let (inner, left) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            (Some(inner), left)
        }
        5 => (None, rest.get(4..)?),
        _ => return None,
    };
    Some((tag >> 3, inner, left))
}

/// Seven bits a byte, the lowest first.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((number, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cron_job() -> OneWay {
        OneWay {
            kind: "CronJob".into(),
            keys: "cronjobs".into(),
            fields: [("spec.timeZone".to_owned(), vec![2, 8])].into(),
            own: Vec::new(),
            meaning: String::new(),
            refused: true,
        }
    }

    /// A field of bytes.
    fn bytes(number: u8, inner: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(inner.len()).unwrap()], inner].concat()
    }

    fn stored(spec: &[u8]) -> Vec<u8> {
        let object = [bytes(1, &bytes(1, b"report")), bytes(2, spec)].concat();
        [PROTOBUF, &bytes(1, b"any type"), &bytes(2, &object), &bytes(3, b"")].concat()
    }

    #[test]
    fn a_field_is_found_in_protobuf_and_in_json() {
        let schedule = bytes(1, b"@daily");
        let suspend = [4 << 3, 1];
        let without = [&schedule[..], &suspend].concat();
        assert_eq!(uses(&stored(&without), &cron_job()), Some(false));
        let with = [&without[..], &bytes(8, b"Europe/Berlin")].concat();
        assert_eq!(uses(&stored(&with), &cron_job()), Some(true));
        let json = br#"{"kind": "CronJob", "spec": {"timeZone": "Europe/Berlin"}}"#;
        assert_eq!(uses(json, &cron_job()), Some(true));
        assert_eq!(uses(br#"{"spec": {"timeZone": null}, "timeZone": "x"}"#, &cron_job()), Some(false));
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_harmless() {
        let whole = stored(&bytes(8, b"Europe/Berlin"));
        for wrong in [&b"k8s:enc:secretbox:v1:key:\x01"[..], b"", &whole[..whole.len() - 3], b"k8s\0\x07", b"k8s\0\xff"]
        {
            assert_eq!(uses(wrong, &cron_job()), None, "{wrong:?}");
        }
        let json_only = OneWay { fields: [("x".to_owned(), Vec::new())].into(), ..cron_job() };
        assert_eq!(uses(&whole, &json_only), None);
        let whole_kind = OneWay { fields: [].into(), ..cron_job() };
        assert_eq!(uses(b"whatever", &whole_kind), Some(true));
    }

    #[test]
    fn a_repeated_field_is_followed_each_time() {
        let field = [("x".to_owned(), vec![1, 1])].into();
        let one_way = OneWay { fields: field, ..cron_job() };
        let first = bytes(1, &bytes(2, b""));
        let second = bytes(1, &bytes(1, b""));
        let object = [first, second].concat();
        let stored = [PROTOBUF, &bytes(2, &object)].concat();
        assert_eq!(uses(&stored, &one_way), Some(true));
    }
}
