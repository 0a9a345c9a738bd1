// The lab's OCI runtime: hands every call on to the real runc, after taking out of the container's
// configuration what this machine cannot give.
//
// Some machines (sandboxes, unprivileged virtual environments) lack CAP_SYS_RESOURCE in the bounding
// set. There a privileged container, a negative oom_score_adj and a raised rlimit all fail. Where the
// capability is present, nothing is read and nothing is changed.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// capabilityNames is in the kernel's order: the index is the bit.
var capabilityNames = strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID
	SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE
	SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME
	SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM
	BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`)

const sysResourceBit = 24

// rlimits are the kernel's numbers; the syscall package names only some of them.
var rlimits = map[string]int{
	"RLIMIT_CPU": 0, "RLIMIT_FSIZE": 1, "RLIMIT_DATA": 2, "RLIMIT_STACK": 3, "RLIMIT_CORE": 4,
	"RLIMIT_RSS": 5, "RLIMIT_NPROC": 6, "RLIMIT_NOFILE": 7, "RLIMIT_MEMLOCK": 8, "RLIMIT_AS": 9,
	"RLIMIT_LOCKS": 10, "RLIMIT_SIGPENDING": 11, "RLIMIT_MSGQUEUE": 12, "RLIMIT_NICE": 13,
	"RLIMIT_RTPRIO": 14, "RLIMIT_RTTIME": 15,
}

func main() {
	if bounding, err := boundingSet(); err != nil {
		warn(err)
	} else if bounding>>sysResourceBit&1 == 0 {
		if err := relax(os.Args[1:], bounding); err != nil {
			warn(err)
		}
	}
	runc, err := realRuntime()
	if err == nil {
		err = syscall.Exec(runc, append([]string{runc}, os.Args[1:]...), os.Environ())
	}
	warn(err)
	os.Exit(1)
}

// warn speaks on stderr only: stdout belongs to runc.
func warn(err error) { fmt.Fprintln(os.Stderr, "lab runtime shim:", err) }

// realRuntime is the diverted runc beside this program (inside a host), else the machine's own.
func realRuntime() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	for _, path := range []string{self + ".real", "/usr/sbin/runc", "/usr/bin/runc"} {
		if resolved, err := filepath.EvalSymlinks(path); err == nil && resolved != self {
			return path, nil
		}
	}
	return "", fmt.Errorf("no runc found beside %s, nor in /usr/sbin or /usr/bin", self)
}

func boundingSet() (uint64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, "CapBnd:"); found {
			return strconv.ParseUint(strings.TrimSpace(rest), 16, 64)
		}
	}
	return 0, fmt.Errorf("no CapBnd in /proc/self/status")
}

// relax rewrites the file that describes the process of this call: config.json of the bundle for
// create and run, the file given by --process for exec.
func relax(args []string, bounding uint64) error {
	command, bundle, process := parse(args)
	switch {
	case command == "exec" && process != "":
		return rewrite(process, func(document map[string]any) { relaxProcess(document, bounding) })
	case command == "create" || command == "run" || command == "restore":
		return rewrite(filepath.Join(bundle, "config.json"), func(document map[string]any) {
			if process, ok := document["process"].(map[string]any); ok {
				relaxProcess(process, bounding)
			}
		})
	}
	return nil
}

// parse finds the command among runc's global options, and the values of the two options we need.
func parse(args []string) (command, bundle, process string) {
	bundle = "."
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(args[i], "=")
		next := func() string {
			if joined || i+1 >= len(args) {
				return value
			}
			i++
			return args[i]
		}
		switch name {
		case "--bundle", "-b":
			bundle = next()
		case "--process", "-p":
			process = next()
		case "--root", "--log", "--log-format", "--criu", "--rootless", "--pid-file", "--console-socket":
			next()
		default:
			if command == "" && !strings.HasPrefix(name, "-") {
				command = name
			}
		}
	}
	return command, bundle, process
}

// rewrite changes a JSON file in place, with its numbers and its mode as they were.
func rewrite(path string, change func(map[string]any)) error {
	before, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(before))
	decoder.UseNumber()
	var document map[string]any
	if err := decoder.Decode(&document); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	change(document)
	after, err := json.Marshal(document)
	if err != nil {
		return err
	}
	return os.WriteFile(path, after, 0o600)
}

func relaxProcess(process map[string]any, bounding uint64) {
	if sets, ok := process["capabilities"].(map[string]any); ok {
		for name, set := range sets {
			if list, ok := set.([]any); ok {
				sets[name] = available(list, bounding)
			}
		}
	}
	if wanted, ok := process["oomScoreAdj"].(json.Number); ok {
		if least, err := oomScore(); err == nil && number(wanted) < least {
			process["oomScoreAdj"] = least
		}
	}
	if list, ok := process["rlimits"].([]any); ok {
		for _, item := range list {
			if limit, ok := item.(map[string]any); ok {
				clamp(limit)
			}
		}
	}
}

func available(wanted []any, bounding uint64) []any {
	kept := []any{}
	for _, capability := range wanted {
		for bit, name := range capabilityNames {
			if capability == "CAP_"+name && bounding>>bit&1 == 1 {
				kept = append(kept, capability)
			}
		}
	}
	return kept
}

// oomScore is the least value that this process may set: its own.
func oomScore() (int64, error) {
	text, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}

func clamp(limit map[string]any) {
	kind, known := rlimits[fmt.Sprint(limit["type"])]
	var ours syscall.Rlimit
	if !known || syscall.Getrlimit(kind, &ours) != nil {
		return
	}
	for _, field := range []string{"hard", "soft"} {
		if value, ok := limit[field].(json.Number); ok {
			if wanted, err := strconv.ParseUint(value.String(), 10, 64); err == nil && wanted > ours.Max {
				limit[field] = ours.Max
			}
		}
	}
}

func number(value json.Number) int64 {
	parsed, err := value.Int64()
	if err != nil {
		return 0
	}
	return parsed
}
