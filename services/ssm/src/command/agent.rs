//! What is done inside of an instance, as shell scripts: the part of an agent that Run Command needs.
//! Pure: makes command lines, and reads what they say.
//!
//! A script has a directory, where the real agent has it too. Its files tell all that there is to know,
//! so that nobody needs to watch: `lock` is held as long as the script runs (the kernel lets go of it
//! however the script ends), `begun` and `end` are moments, `code` is the exit code of a script that
//! ended by itself, `group` leads to its processes.

use super::status::State;

/// What is fetched of each stream, in bytes: four for each character that is shown.
pub(crate) const LIMIT: usize = 4 * OUTPUT + 256;
/// What is shown of each stream, in characters.
const OUTPUT: usize = 24_000;
const ERRORS: usize = 8_000;
/// The exit code of what was killed.
const KILLED: i32 = 137;

/// `$1` directory, `$2` script, `$3` what starts it, and that one's arguments. May be repeated: the
/// script begins once.
const DELIVER: &str = r#"
umask 077
mkdir -p "$1" && cd "$1" || exit 1
exec 9>lock
flock -n 9 || exit 0
[ -e begun ] && exit 0
printf %s "$2" >_script.sh && chmod 700 _script.sh || exit 1
shift 2
setsid sh -c "$@" </dev/null >/dev/null 2>&1 &
"#;

/// `$1` seconds, `$2` working directory, `$3` instance, `$4` region. Holds the lock, and does not hand
/// it on to the script, whose daemons may outlive it.
const RUN: &str = r#"
export AWS_SSM_INSTANCE_ID="$3" AWS_SSM_REGION_NAME="$4"
date +%s%3N >begun
timeout -k 5 "$1" sh -c 'cd "$1" && "$2/_script.sh"; echo $? >"$2/code"' \
    sh "${2:-/root}" "$PWD" >stdout 2>stderr 9>&- &
echo $! >group
wait $!
date +%s%3N >end
"#;

/// `$1` directory, `$2`, `$3` how much of the streams. Says how the script ended, when it has.
const AWAIT: &str = r#"
cd "$1" && exec 9<lock && flock -s 9 || { echo lost; exit 0; }
if [ -s code ]; then how=ended
elif [ -e cancelled ]; then how=cancelled
elif [ -s end ]; then how=late
else how=lost
fi
say() { cat "$1" 2>/dev/null || echo "$2"; }
echo $how $(say code -1) $(say begun 0) $(say end 0)
head -c "$2" stdout
head -c "$3" stderr >&2
"#;

/// `$1` directory. May be repeated.
const CANCEL: &str = r#"
cd "$1" && : >cancelled && [ ! -e end ] && kill -TERM "$(cat group)"
"#;

fn directory(instance: &str, command: &str) -> String {
    format!(
        "/var/lib/amazon/ssm/{instance}/document/orchestration/{command}/awsrunShellScript/0.awsrunShellScript"
    )
}

fn shell(script: &str, arguments: &[&str]) -> Vec<String> {
    let words = ["sh", "-c", script, "agent"];
    let words = words.iter().chain(arguments);
    words.map(|word| (*word).to_owned()).collect()
}

/// Puts a script there and starts it, unless it was started before.
pub(crate) fn deliver(
    (instance, command): (&str, &str),
    region: &str,
    script: &super::document::Script,
) -> Vec<String> {
    let (directory, timeout) = (directory(instance, command), script.timeout.to_string());
    let arguments = [
        &directory,
        &script.text,
        RUN,
        "agent",
        &timeout,
        &script.directory,
        instance,
        region,
    ];
    shell(DELIVER, &arguments)
}

/// Ends when the script has ended, and says how; see [`report`].
pub(crate) fn wait((instance, command): (&str, &str)) -> Vec<String> {
    let (output, errors) = ((4 * OUTPUT).to_string(), (4 * ERRORS).to_string());
    shell(AWAIT, &[&directory(instance, command), &output, &errors])
}

pub(crate) fn cancel((instance, command): (&str, &str)) -> Vec<String> {
    shell(CANCEL, &[&directory(instance, command)])
}

/// How a script ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) state: State,
    pub(crate) code: i32,
    pub(crate) begun: Option<i64>,
    pub(crate) ended: Option<i64>,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Report {
    /// Of a script that did not come to its end, nobody knows how far it went.
    pub(crate) fn lost(why: &str) -> Self {
        Self {
            state: State::Failed,
            code: -1,
            begun: None,
            ended: None,
            output: String::new(),
            errors: why.to_owned(),
        }
    }
}

/// Reads what [`wait`]'s program wrote.
pub(crate) fn report(output: &[u8], errors: &[u8]) -> Report {
    let end = output.iter().position(|byte| *byte == b'\n');
    let (head, output) = output.split_at(end.map_or(output.len(), |end| end + 1));
    let head = String::from_utf8_lossy(head);
    let words: Vec<&str> = head.split_whitespace().collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<i64>().ok());
    let moment = |at| number(at).filter(|moment| *moment > 0);
    let code = number(1)
        .and_then(|code| i32::try_from(code).ok())
        .unwrap_or(-1);
    let (state, code, note) = match words.first() {
        Some(&"ended") if code == 0 => (State::Success, 0, None),
        Some(&"ended") => {
            let note = format!("failed to run commands: exit status {code}");
            (State::Failed, code, Some(note))
        }
        Some(&"cancelled") => (State::Cancelled, KILLED, None),
        Some(&"late") => (State::ExecutionTimedOut, KILLED, None),
        _ => (
            State::Failed,
            -1,
            Some("The instance went down while the script ran.".into()),
        ),
    };
    let mut cries = text(errors, ERRORS);
    if let Some(note) = note {
        // As the real agent does, the note comes behind what the script wrote.
        let room = ERRORS.saturating_sub(note.chars().count());
        cries = cries.chars().take(room).collect::<String>() + &note;
    }
    Report {
        state,
        code,
        begun: moment(2),
        ended: moment(3),
        output: text(output, OUTPUT),
        errors: cries,
    }
}

/// The first characters.
fn text(bytes: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read() {
        let ended = report(b"ended 0 1000 2000\nhello\nworld\n", b"");
        assert_eq!((ended.state, ended.code), (State::Success, 0));
        assert_eq!((ended.begun, ended.ended), (Some(1000), Some(2000)));
        assert_eq!(ended.output, "hello\nworld\n");
        let failed = report(b"ended 3 1000 2000\n", b"oh\n");
        assert_eq!((failed.state, failed.code), (State::Failed, 3));
        assert_eq!(failed.errors, "oh\nfailed to run commands: exit status 3");
        assert_eq!(
            report(b"late -1 1 2\n", b"").state,
            State::ExecutionTimedOut
        );
        assert_eq!(report(b"cancelled -1 1 2\n", b"").state, State::Cancelled);
        for lost in [&b"lost\n"[..], b"", b"lost -1 0 0\n"] {
            let report = report(lost, b"");
            assert_eq!(
                (report.state, report.code, report.begun),
                (State::Failed, -1, None)
            );
        }
    }

    #[test]
    fn streams_are_cut_at_characters() {
        let long = "ended 0 1 2\n".to_owned() + &"한".repeat(OUTPUT + 1);
        assert_eq!(report(long.as_bytes(), b"").output.chars().count(), OUTPUT);
    }
}
