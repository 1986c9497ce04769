//! Sign-ins that wait for themselves.

use std::collections::BTreeSet;

use sluice_model::TokenSource;

use crate::error::Error;
use crate::render::tokens_of;

/// Fails if a sign-in needs its own token, directly or through others: it would wait for itself forever.
pub(crate) fn check_cycles(network: &str, tokens: &[TokenSource]) -> Result<(), Error> {
    let needs = |name: &str| -> BTreeSet<&str> {
        tokens
            .iter()
            .filter(|source| source.name == name)
            .flat_map(|source| std::iter::once(&source.request).chain(&source.refresh))
            .flat_map(tokens_of)
            // Sources with the same request are filled together, so each needs the tokens of all.
            .flat_map(|token| {
                let request = tokens.iter().find(|source| source.name == token).map(|source| &source.request);
                let together = tokens.iter().filter(move |source| Some(&source.request) == request);
                std::iter::once(token).chain(together.map(|source| source.name.as_str()))
            })
            .collect()
    };
    for source in tokens {
        let mut reached = BTreeSet::new();
        let mut open = vec![source.name.as_str()];
        while let Some(name) = open.pop() {
            open.extend(needs(name).into_iter().filter(|next| reached.insert(*next)));
        }
        if reached.contains(source.name.as_str()) {
            let reason = format!("sign-in `{}` needs its own token", source.name);
            return Err(Error::Settings { network: network.to_owned(), reason });
        }
    }
    Ok(())
}
