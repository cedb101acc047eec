//! The word that was probably meant.

/// The nearest word by edits, where it is near enough to be more than chance.
pub(super) fn nearest<'w>(typed: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    /// Longer words are not compared: the price of an edit distance is the product of both lengths.
    const LONGEST: usize = 64;
    if typed.len() > LONGEST {
        return None;
    }
    let bound = typed.chars().count().max(3) / 3;
    words
        .map(|word| (edits(&typed.to_ascii_lowercase(), word), word))
        .filter(|(edits, _)| *edits <= bound)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, word)| word)
}

/// Edits (insert, remove, replace, swap neighbours) between two words.
fn edits(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut before_last = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for i in 1..=left.len() {
        let mut row = vec![i];
        for j in 1..=right.len() {
            let replaced = last[j - 1] + usize::from(left[i - 1] != right[j - 1]);
            let mut least = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                let earlier: &Vec<usize> = &before_last;
                least = least.min(earlier[j - 2] + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_that_was_meant_is_found_and_chance_is_not() {
        let keys = ["memory", "max_object", "cert", "key"];
        for (typed, meant) in [
            ("memroy", Some("memory")),
            ("Memory", Some("memory")),
            ("max-object", Some("max_object")),
            ("keys", Some("key")),
            ("certs", Some("cert")),
            ("disk", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, keys.into_iter()), meant, "{typed}");
        }
    }

    #[test]
    fn edits_are_counted() {
        for (left, right, count) in [("", "", 0), ("a", "", 1), ("ab", "ba", 1), ("kitten", "sitting", 3)] {
            assert_eq!(edits(left, right), count);
        }
    }
}
