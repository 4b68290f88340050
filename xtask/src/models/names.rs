//! From the model's names to Rust's. The results equal those of the other AWS SDKs, since people
//! know them; save that `CRC32C` stays one word.

/// Words that the rules would tear apart.
const WHOLE: [(&str, &str); 2] = [("IPv4", "Ipv4"), ("IPv6", "Ipv6")];

/// `MD5OfMessageBody` to `md5_of_message_body`, `AWSAccountIds` to `aws_account_ids`.
pub(crate) fn snake(name: &str) -> String {
    let mut name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    for (word, plain) in WHOLE {
        name = name.replace(word, plain);
    }
    let letters: Vec<char> = name.chars().collect();
    let mut out = String::with_capacity(name.len() + 8);
    for (i, &letter) in letters.iter().enumerate() {
        if i > 0 && starts_word(&letters, i) && !out.ends_with('_') {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// Whether a new word begins at `i`, which is not the first letter.
fn starts_word(letters: &[char], i: usize) -> bool {
    let at = |i: usize| letters.get(i).copied().unwrap_or('_');
    let (before, here, after) = (at(i - 1), at(i), at(i + 1));
    if !here.is_ascii_uppercase() || before == '_' {
        return false;
    }
    if before.is_ascii_lowercase() {
        return true;
    }
    // The plural of an acronym is one word: `VpcIDs`, `ARNsToKeep`.
    let plural = after == 's' && !at(i + 2).is_ascii_lowercase() && before.is_ascii_uppercase();
    if plural {
        return false;
    }
    if before.is_ascii_digit() {
        // `CRC32C` is one word; `CRC64NVME` and `MD5Of` are two.
        return after.is_ascii_alphanumeric();
    }
    after.is_ascii_lowercase()
}

/// A struct's field; keywords get an underscore.
pub(crate) fn field(name: &str) -> String {
    let mut name = snake(name);
    if KEYWORDS.contains(&name.as_str()) || name.starts_with(|c: char| c.is_ascii_digit()) {
        name.push('_');
    }
    name
}

/// A static: `SEND_MESSAGE_REQUEST`.
pub(crate) fn constant(name: &str) -> String {
    snake(name).to_ascii_uppercase()
}

/// A type or a variant: the model's own name with a capital first letter.
pub(crate) fn type_(name: &str) -> String {
    let name = capitalised(&name.replace(|c: char| !c.is_ascii_alphanumeric(), ""));
    if name == "Self" {
        return "Self_".to_owned();
    }
    name
}

pub(crate) fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    match letters.next() {
        Some(first) => first.to_ascii_uppercase().to_string() + letters.as_str(),
        None => String::new(),
    }
}

/// Strict and reserved keywords of Rust 2024.
#[rustfmt::skip]
const KEYWORDS: [&str; 52] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "where", "while", "yield", "union",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_called_as_in_the_other_sdks() {
        for (model, rust) in [
            ("QueueUrl", "queue_url"),
            ("tags", "tags"),
            ("ETag", "e_tag"),
            ("ACL", "acl"),
            ("MD5OfMessageBody", "md5_of_message_body"),
            ("AWSAccountIds", "aws_account_ids"),
            ("SSEKMSKeyId", "ssekms_key_id"),
            ("SSECustomerKeyMD5", "sse_customer_key_md5"),
            ("ContentMD5", "content_md5"),
            ("ChecksumCRC32", "checksum_crc32"),
            ("ChecksumCRC32C", "checksum_crc32c"),
            ("ChecksumCRC64NVME", "checksum_crc64_nvme"),
            ("KMSMasterKeyID", "kms_master_key_id"),
            ("OpenIDConnectProviderArn", "open_id_connect_provider_arn"),
            ("VpcIDs", "vpc_ids"),
            ("ARNsToKeep", "arns_to_keep"),
            ("S3Bucket", "s3_bucket"),
            ("IPv6Address", "ipv6_address"),
            ("x-amz-tag", "x_amz_tag"),
        ] {
            assert_eq!(snake(model), rust, "{model}");
        }
    }

    #[test]
    fn keywords_and_odd_letters_stay_valid_rust() {
        assert_eq!(field("Type"), "type_");
        assert_eq!(field("Self"), "self_");
        assert_eq!(constant("QueueUrl"), "QUEUE_URL");
        assert_eq!(type_("userDetail"), "UserDetail");
        assert_eq!(type_("x-thing"), "Xthing");
        assert_eq!(type_("Self"), "Self_");
    }
}
