//! Records of comma-separated values (RFC 4180, with other separators too). Pure.

/// What the beginning of a text holds.
#[derive(Debug, PartialEq)]
pub(crate) enum Found {
    /// A record (`None` if it is not well formed), and how many bytes it takes.
    Record(Option<Vec<String>>, usize),
    /// Not the end of a record yet.
    More,
}

/// Reads the first record. `whole` says that nothing follows the text.
pub(crate) fn record(text: &[u8], separator: u8, whole: bool) -> Found {
    let mut fields = Vec::new();
    let mut good = true;
    let mut at = 0;
    loop {
        let (field, next) = if text.get(at) == Some(&b'"') {
            quoted(text, at + 1)
        } else {
            plain(text, at, separator)
        };
        let Some(end) = next.or(whole.then_some(text.len())) else {
            return Found::More;
        };
        // A quote that nothing closes, or something behind the one that does.
        let closed = next.is_some() || text.get(at) != Some(&b'"');
        match String::from_utf8(field) {
            Ok(field) if closed => fields.push(field),
            _ => good = false,
        }
        at = end;
        match text.get(at) {
            Some(byte) if *byte == separator => at += 1,
            Some(b'\n') => return Found::Record(good.then_some(fields), at + 1),
            Some(b'\r') if text.get(at + 1) == Some(&b'\n') => {
                return Found::Record(good.then_some(fields), at + 2);
            }
            Some(b'\r') if at + 1 == text.len() && !whole => return Found::More,
            None if whole => return Found::Record(good.then_some(fields), at),
            None => return Found::More,
            Some(_) => {
                good = false;
                match line_end(text, at) {
                    Some(end) => at = end,
                    None if whole => return Found::Record(None, text.len()),
                    None => return Found::More,
                }
            }
        }
    }
}

fn line_end(text: &[u8], from: usize) -> Option<usize> {
    Some(from + text[from..].iter().position(|byte| *byte == b'\n')?)
}

/// A field without quotes, and where it ends.
fn plain(text: &[u8], from: usize, separator: u8) -> (Vec<u8>, Option<usize>) {
    let rest = &text[from.min(text.len())..];
    let ends = |byte: &u8| *byte == separator || *byte == b'\n';
    let len = rest.iter().position(ends);
    let field = &rest[..len.unwrap_or(rest.len())];
    let field = match len {
        Some(len) if rest[len] == b'\n' => field.strip_suffix(b"\r").unwrap_or(field),
        Some(_) => field,
        None => field.strip_suffix(b"\r").unwrap_or(field),
    };
    (field.to_vec(), len.map(|_| from + field.len()))
}

/// A field in quotes, from behind the first one.
fn quoted(text: &[u8], mut at: usize) -> (Vec<u8>, Option<usize>) {
    let mut field = Vec::new();
    while let Some(byte) = text.get(at) {
        match (byte, text.get(at + 1)) {
            (b'"', Some(b'"')) => {
                field.push(b'"');
                at += 2;
            }
            (b'"', _) => return (field, Some(at + 1)),
            (byte, _) => {
                field.push(*byte);
                at += 1;
            }
        }
    }
    (field, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn records(text: &str, separator: char) -> Vec<Option<Vec<String>>> {
        let mut rest = text.as_bytes();
        let mut found = Vec::new();
        while !rest.is_empty() {
            let Found::Record(fields, taken) = record(rest, separator as u8, true) else {
                panic!("a whole text has whole records");
            };
            assert!(taken > 0);
            found.push(fields);
            rest = &rest[taken..];
        }
        found
    }

    #[test]
    fn records_are_read_as_the_rfc_says() {
        let of = |fields: &[&str]| Some(fields.iter().map(|f| (*f).to_owned()).collect());
        assert_eq!(
            records("a,b\r\n\"x, \"\"y\"\"\n\",\n,z", ','),
            [of(&["a", "b"]), of(&["x, \"y\"\n", ""]), of(&["", "z"])]
        );
        assert_eq!(records("a;b,c\n", ';'), [of(&["a", "b,c"])]);
        assert_eq!(records("\"a\"b,c\nd", ','), [None, of(&["d"])]);
        assert_eq!(records("\"open\n", ','), [None]);
        assert_eq!(record(b"a,b", b',', false), Found::More);
        assert_eq!(record(b"\"a\"", b',', false), Found::More);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_however_it_comes_in(
            rows in prop::collection::vec(prop::collection::vec("[a-c,\"\n\r ]{0,5}", 2..4), 1..5),
        ) {
            let quote = |field: &String| format!("\"{}\"", field.replace('"', "\"\""));
            let line = |row: &Vec<String>| row.iter().map(quote).collect::<Vec<_>>().join(",") + "\r\n";
            let text: String = rows.iter().map(line).collect();
            let mut at = 0;
            for row in &rows {
                // The shortest beginning that is enough must be enough.
                let found = (at..=text.len()).map(|end| record(&text.as_bytes()[at..end], b',', false));
                let first = found.into_iter().find(|found| *found != Found::More);
                let Some(Found::Record(fields, taken)) = first else { panic!("no record") };
                prop_assert_eq!(fields.as_ref(), Some(row));
                at += taken;
            }
            prop_assert_eq!(at, text.len());
        }
    }
}
