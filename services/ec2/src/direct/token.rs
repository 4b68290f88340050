//! Tokens of blocks and of pages: positions with a MAC, nothing that is kept.

use gureum_kit::PageTokens;

/// How long the token of a block can be used, in milliseconds.
pub(super) const GOOD_FOR: i64 = 7 * 24 * 3_600_000;

/// The token of one block of one snapshot, good until then (milliseconds since the epoch).
pub(super) fn of_block(tokens: &PageTokens, snapshot: &str, block: u64, until: i64) -> String {
    seal(tokens, &block_scope(snapshot, block), until.to_be_bytes())
}

/// Whether a token is that block's, and still good.
pub(super) fn opens(
    tokens: &PageTokens,
    token: &str,
    (snapshot, block): (&str, u64),
    now: i64,
) -> bool {
    let until = open(tokens, &block_scope(snapshot, block), token);
    until.is_some_and(|until| now < i64::from_be_bytes(until))
}

/// The token of the page that begins at this block, of the listing that `scope` names.
pub(super) fn of_page(tokens: &PageTokens, scope: &str, block: u64) -> String {
    seal(tokens, scope, block.to_be_bytes())
}

/// Where a page begins; none if the token is no page's of this listing.
pub(super) fn page(tokens: &PageTokens, scope: &str, token: &str) -> Option<u64> {
    open(tokens, scope, token).map(u64::from_be_bytes)
}

fn block_scope(snapshot: &str, block: u64) -> String {
    format!("ebs:block {snapshot} {block}")
}

/// In the alphabet that the API's tokens have.
fn seal(tokens: &PageTokens, scope: &str, position: [u8; 8]) -> String {
    let token = tokens.seal(scope, &position);
    token.replace('-', "+").replace('_', "/")
}

fn open(tokens: &PageTokens, scope: &str, token: &str) -> Option<[u8; 8]> {
    let token = token.replace('+', "-").replace('/', "_");
    tokens.open(scope, &token)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use gureum_kit::Store;

    use super::*;

    #[tokio::test]
    async fn a_token_is_good_for_one_block_and_for_a_time() {
        let tokens = PageTokens::load(&Store::memory()).await.expect("tokens");
        let fits = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
        for block in 0..100 {
            let token = of_block(&tokens, "snap-1", block, 1000);
            assert!(token.chars().all(fits), "{token}");
            assert!(opens(&tokens, &token, ("snap-1", block), 999));
            assert!(!opens(&tokens, &token, ("snap-1", block), 1000));
            assert!(!opens(&tokens, &token, ("snap-1", block + 1), 0));
            assert!(!opens(&tokens, &token, ("snap-2", block), 0));
            assert_eq!(page(&tokens, "ebs:block snap-1", &token), None);
        }
        let token = of_page(&tokens, "list", 7);
        assert_eq!(page(&tokens, "list", &token), Some(7));
        assert_eq!(page(&tokens, "other", &token), None);
        assert_eq!(page(&tokens, "list", "nonsense"), None);
    }
}
