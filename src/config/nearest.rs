//! What someone may have meant who mistyped a name.

use super::layers::PREFIX;

/// Below this likeness, in thousandths, a name is no suggestion.
const ALIKE: usize = 500;

/// The name that is most like this one, if any is.
pub(super) fn nearest<'a>(name: &str, names: &'a [String]) -> Option<&'a String> {
    let nearest = names.iter().max_by_key(|known| likeness(name, known))?;
    (likeness(name, nearest) > ALIKE).then_some(nearest)
}

/// The share of pairs of neighbouring letters that two names have in common, in thousandths.
fn likeness(one: &str, other: &str) -> usize {
    let pairs = |name: &str| -> Vec<[u8; 2]> {
        let name = name.strip_prefix(PREFIX).unwrap_or(name).to_lowercase();
        name.as_bytes()
            .windows(2)
            .map(|pair| [pair[0], pair[1]])
            .collect()
    };
    let (one, mut other) = (pairs(one), pairs(other));
    let total = one.len() + other.len();
    let common = one
        .iter()
        .filter(|pair| {
            other
                .iter()
                .position(|p| p == *pair)
                .map(|at| other.swap_remove(at))
                .is_some()
        })
        .count();
    (2000 * common).checked_div(total).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant_and_nothing_far_off() {
        let names = ["broker.url", "database.url", "retry.delays"].map(str::to_owned);
        let found = |name: &str| nearest(name, &names).map(String::as_str);
        assert_eq!(found("broker.uri"), Some("broker.url"));
        assert_eq!(found("databse.url"), Some("database.url"));
        assert_eq!(found("retry.delay"), Some("retry.delays"));
        assert_eq!(found("colour"), None);
    }
}
