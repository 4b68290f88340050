//! Encoded authorization messages: all that decided over a denied call, sealed, so that whoever was
//! denied can hand it on to somebody who may read it.
//!
//! A message carries everything itself and nothing is kept of it. It opens for callers of the account
//! that was denied, as long as the cloud has its secret.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use gureum_dispatch::{Cx, Denial};
use gureum_kit::AccountId;
use gureum_kit::seal::{Salt, Sealer, TAG};
use gureum_model_sts::{op, types};
use gureum_schema::Result;

use super::identity::asks;
use super::report::report;
use crate::errors::Fault;
use crate::{Iam, Table};

/// The longest message that `DecodeAuthorizationMessage` takes, in characters.
const MAX_ENCODED: usize = 10_240;
/// What can be told in one, in bytes: base64 makes four characters of three bytes.
const MAX_TEXT: usize = MAX_ENCODED / 4 * 3 - size_of::<Salt>() - TAG;

/// Seals messages and opens them. Their form is base64url of a salt, the sealed text and its tag.
pub(crate) struct Messages(Sealer);

pub(crate) fn table(table: Table) -> Table {
    table.op::<op::DecodeAuthorizationMessage, _>(
        |_, cx, _| asks(cx, "sts:DecodeAuthorizationMessage"),
        decode,
    )
}

async fn decode(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::DecodeAuthorizationMessageRequest,
) -> Result<types::DecodeAuthorizationMessageResponse> {
    let text = iam.messages.open(cx.account(), &input.encoded_message);
    let text = text.ok_or_else(|| Fault::invalid_message("Message is not valid."))?;
    Ok(types::DecodeAuthorizationMessageResponse {
        decoded_message: Some(text),
    })
}

impl Messages {
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self(Sealer::derived(secret, b"sts authorization message"))
    }

    /// What is to be told of a denial. `None` when not even the least of it has room, as when the
    /// name of the resource is thousands of characters long.
    pub(crate) fn of(&self, denial: &Denial<'_>) -> Option<String> {
        let text = report(denial, MAX_TEXT)?;
        self.seal(&denial.caller().account, text)
    }

    fn seal(&self, account: &AccountId, mut text: Vec<u8>) -> Option<String> {
        let salt = self.0.seal(account.as_str().as_bytes(), &mut text)?;
        Some(BASE64.encode([&salt[..], &text].concat()))
    }

    /// The text; `None` if this cloud did not seal it, or sealed it for another account.
    fn open(&self, account: &AccountId, encoded: &str) -> Option<String> {
        let mut bytes = BASE64.decode(encoded).ok()?;
        let (salt, sealed) = bytes.split_first_chunk_mut()?;
        let text = self.0.open(account.as_str().as_bytes(), salt, sealed)?;
        String::from_utf8(text.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn account(digit: char) -> AccountId {
        let text: String = std::iter::repeat_n(digit, 12).collect();
        text.parse().expect("account")
    }

    proptest! {
        #[test]
        fn a_message_opens_for_its_account_only(text in ".{0,300}") {
            let messages = Messages::new(&[7; 32]);
            let ours = account('1');
            let sealed = messages.seal(&ours, text.clone().into_bytes()).expect("sealed");
            prop_assert_eq!(messages.open(&ours, &sealed), Some(text));
            prop_assert_eq!(messages.open(&account('2'), &sealed), None);
            prop_assert_eq!(Messages::new(&[8; 32]).open(&ours, &sealed), None);
        }

        #[test]
        fn a_forged_message_does_not_open(at in 0..96_usize, by in any::<char>()) {
            let messages = Messages::new(&[7; 32]);
            let sealed = messages.seal(&account('1'), vec![b'x'; 40]).expect("sealed");
            let mut forged: Vec<char> = sealed.chars().collect();
            prop_assert_eq!(forged.len(), 96);
            forged[at] = by;
            let forged: String = forged.into_iter().collect();
            prop_assume!(forged != sealed);
            prop_assert_eq!(messages.open(&account('1'), &forged), None);
        }

        #[test]
        fn noise_does_not_open(noise in "\\PC{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let messages = Messages::new(&[7; 32]);
            prop_assert_eq!(messages.open(&account('1'), &noise), None);
            prop_assert_eq!(messages.open(&account('1'), &BASE64.encode(bytes)), None);
        }
    }

    #[test]
    fn the_longest_text_makes_a_message_that_can_be_sent_back() {
        let messages = Messages::new(&[7; 32]);
        let sealed = messages.seal(&account('1'), vec![b'x'; MAX_TEXT]);
        assert_eq!(sealed.expect("sealed").len(), MAX_ENCODED);
    }
}
