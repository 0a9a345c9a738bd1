//! The power of a host is cut after each command of the program that replaces a component, and comes back.

use provision::host::{Change, Probe, Proof, Replacement, Swap};
use provision::state::{Component, ContainerSpec, Content, FileSpec, LinkSpec, Mount, Owner};

use super::{NAME, PORT, Subject, built, good, hook, spec, swap, the_container};
use crate::harness::{AGNHOST, SECOND, until};

/// Two of it share a port.
const HAPROXY: &str = "docker.io/library/haproxy:2.6.12";
const HAPROXY_FILE: &str = "/etc/kubernetes/swap-test.cfg";
const UNIT: &str = "swap-unit";
const UNIT_PORT: u16 = 18081;

#[test]
#[ignore = "six minutes: a host is rebooted at each of its points; its program is cut there in a namespace"]
fn one_container_runs_and_is_proven_whatever_command_the_power_is_cut_after() {
    let subject = Subject::that_loses_power(&[AGNHOST]);
    subject.run(good(1));
    let place = Place { name: NAME, tells: the_container(), good: |number| swap(good(number), 30, 0) };
    place.is_cut_everywhere(&subject, &swap(spec(&["no-such-command"]), 30, 0));
}

#[test]
#[ignore = "six minutes: the same where the new one starts beside the old one"]
fn one_of_two_on_a_port_runs_and_is_proven_whatever_command_the_power_is_cut_after() {
    let subject = Subject::that_loses_power(&[HAPROXY]);
    subject.lab.script("h1", &format!("cat >{HAPROXY_FILE} <<'END'\n{}END", haproxy_settings()));
    subject.run(haproxy(HAPROXY_FILE, 1));
    let place = Place { name: NAME, tells: the_container(), good: |number| beside_old(haproxy(HAPROXY_FILE, number)) };
    place.is_cut_everywhere(&subject, &beside_old(haproxy("/no-such-file", 0)));
}

#[test]
#[ignore = "six minutes: the same for a service of systemd, as kubelet is one"]
fn one_unit_runs_and_is_proven_whatever_command_the_power_is_cut_after() {
    let subject = Subject::that_loses_power(&[]);
    subject.lab.script("h1", &the_first_unit());
    let place = Place { name: UNIT, tells: the_unit(), good: unit };
    place.is_cut_everywhere(&subject, &unit(0));
}

/// What is replaced, and how one sees which of both is there.
struct Place {
    name: &'static str,
    /// A script that tells it once for each place where it shows; a number is its end.
    tells: String,
    /// A replacement that succeeds, by the number of the new one.
    good: fn(u16) -> Change,
}

impl Place {
    /// Cuts the power after each command of a replacement that succeeds, and of one that does not.
    fn is_cut_everywhere(&self, subject: &Subject, bad: &Change) {
        let good = self.is_cut_at_each(subject, |number| (self.good)(number + 1));
        let bad = self.is_cut_at_each(subject, |_| bad.clone());
        println!("long: {} points, {bad} of them in a replacement that fails", good + bad);
    }

    /// The change is made from the number of what runs.
    fn is_cut_at_each(&self, subject: &Subject, change: impl Fn(u16) -> Change) -> usize {
        let mut current = self.number(subject);
        for cut in 1.. {
            subject.lab.script("h1", &format!("rm -f /run/commands; echo {cut} >/run/cut"));
            let (is_cut, is_said) = subject.loses_power_in(&change(current));
            let number = self.number(subject);
            let ended = subject.lab.script("h1", &format!("head -n 1 /var/lib/provision/swap/{}/result", self.name));
            let wanted = if ended.trim() == "done" { current + 1 } else { current };
            assert_eq!(number, wanted, "cut {cut}: {ended}");
            // What was noted may reach us in the very moment in which the power goes.
            assert!(number > current || !is_said, "cut {cut}: {ended}");
            current = number;
            if !is_cut {
                assert!(cut > 10, "{cut} commands");
                return cut - 1;
            }
        }
        unreachable!("a replacement ends")
    }

    /// Which one runs, once it does: nothing else does, and nothing is left to end.
    fn number(&self, subject: &Subject) -> u16 {
        let line = until("one of both", 90 * SECOND, || subject.what_runs(&self.tells));
        line.rsplit(|letter: char| !letter.is_ascii_digit()).next().unwrap_or_default().parse().expect(&line)
    }
}

impl Subject {
    /// A host with these images, on which the program stops at a chosen command.
    fn that_loses_power(images: &[&str]) -> Self {
        let subject = Self::with_docker();
        images.iter().for_each(|image| subject.load(image));
        subject.lab.script("h1", &hook("{ echo >/run/cut-here; exec sleep infinity; }"));
        subject
    }

    /// Begins a change whose program stops at the chosen command, and cuts the power there. Gives whether it came to that, and
    /// whether the change was said to be made.
    fn loses_power_in(&self, change: &Change) -> (bool, bool) {
        std::thread::scope(|scope| {
            let swap = scope.spawn(|| self.make(change));
            let is_cut = until("the command, or the end", 120 * SECOND, || {
                if swap.is_finished() {
                    return Ok(false);
                }
                self.lab.try_script("h1", "[ -e /run/cut-here ]").result().map(|_| true)
            });
            if is_cut {
                self.lab.command(&["kill", "h1"]).succeeded();
                self.lab.command(&["start", "h1"]).succeeded();
            }
            (is_cut, swap.join().expect("a result").is_ok())
        })
    }
}

/// Answers whoever asks.
fn haproxy_settings() -> String {
    format!(
        "defaults\n mode http\n timeout client 5s\n timeout server 5s\n timeout connect 5s\n\
         frontend swap\n bind 127.0.0.1:{PORT}\n http-request return status 200\n"
    )
}

/// One that answers from this file; the number makes it another one.
fn haproxy(file: &str, number: u16) -> ContainerSpec {
    ContainerSpec {
        image: built(HAPROXY).0,
        entrypoint: vec!["haproxy".into()],
        mounts: vec![Mount { path: HAPROXY_FILE.into(), writable: false }],
        ..spec(&["-db", "-f", file, "-L", &format!("number-{number}")])
    }
}

fn beside_old(spec: ContainerSpec) -> Change {
    let mut change = swap(spec.clone(), 30, 0);
    if let Change::Swap(swap) = &mut change {
        swap.replacement = Replacement::BesideOld(Box::new(spec));
    }
    change
}

/// The unit of this number and its link; the program of number 0 ends at once.
fn unit(number: u16) -> Change {
    let file = |path: String, text: String| FileSpec {
        path,
        component: Component::Base,
        owner: Owner::ROOT,
        mode: 0o644,
        content: Content::Text(text),
    };
    let link =
        LinkSpec { path: format!("/opt/{UNIT}/current"), component: Component::Base, target: number.to_string() };
    let replacement = Replacement::Unit {
        name: format!("{UNIT}.service"),
        unit_file: file(format!("/etc/systemd/system/{UNIT}.service"), unit_text(number)),
        links: vec![link],
    };
    let files = vec![file(format!("/etc/kubernetes/{UNIT}.yaml"), format!("{number}\n"))];
    let proof = Proof { probes: vec![Probe::Http { port: UNIT_PORT, path: "/".into() }], stays_seconds: 0 };
    Change::Swap(Box::new(Swap { replacement, reads: Vec::new(), files, proof, patience_seconds: 30 }))
}

fn unit_text(number: u16) -> String {
    format!(
        "[Unit]\nStartLimitIntervalSec=0\n[Service]\nEnvironment=NUMBER={number}\nExecStart=/opt/{UNIT}/current/serve\n\
         Restart=always\nRestartSec=0.2\n[Install]\nWantedBy=multi-user.target\n"
    )
}

/// Programs that answer with the number of the unit and with that of the folder they were started from. The unit's first one
/// runs.
fn the_first_unit() -> String {
    let text = unit_text(1);
    format!(
        r#"mkdir -p /opt/{UNIT}/0; cd /opt/{UNIT}
        cat >0/serve <<'END'
#!/bin/sh
number=$(readlink -f "$0"); number=${{number%/serve}}; export FOLDER="${{number##*/}}"
[ "$FOLDER" != 0 ] || exit 1
exec socat TCP-LISTEN:{UNIT_PORT},bind=127.0.0.1,reuseaddr,fork 'SYSTEM:read request; echo HTTP/1.0 200 OK; echo; echo $NUMBER; echo $FOLDER'
END
        chmod 755 0/serve; for number in $(seq 1 50); do cp -a 0 $number; done
        ln -s 1 current; echo 1 >/etc/kubernetes/{UNIT}.yaml
        cat >/etc/systemd/system/{UNIT}.service <<'END'
{text}END
        systemctl enable --now {UNIT}"#
    )
}

/// Tells the number that the unit's file, its link, its record and its process have.
fn the_unit() -> String {
    format!(
        "[ ! -e /var/lib/provision/swap/{UNIT}/intent ]
         [ $(systemctl show -p ActiveState -p NeedDaemonReload --value {UNIT} | paste -sd,) = active,no ]
         sed -n 's/^Environment=NUMBER=//p' /etc/systemd/system/{UNIT}.service
         readlink /opt/{UNIT}/current; cat /etc/kubernetes/{UNIT}.yaml
         answer=$(printf 'GET / HTTP/1.0\\r\\n\\r\\n' | socat -t 5 - TCP:127.0.0.1:{UNIT_PORT},shut-none)
         [ \"$(head -n 1 <<<\"$answer\")\" = 'HTTP/1.0 200 OK' ]; tail -n 2 <<<\"$answer\""
    )
}
