//! word-maps: counts, groups and sorts words in hash maps, tree maps, sets and heaps.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::hash::BuildHasherDefault;

use rust_guests::{mix, result, size, Numbers};

/// Every run hashes alike, so that every run does the same work.
type Hasher = BuildHasherDefault<DefaultHasher>;

fn words(count: u64) -> Vec<String> {
    const SYLLABLES: [&str; 16] = [
        "ka", "lo", "mi", "ne", "pu", "ra", "si", "to", "ve", "wa", "ba", "de", "fi", "go", "hu", "jo",
    ];
    let mut numbers = Numbers::new(31415);
    (0..count)
        .map(|_| {
            let length = 2 + numbers.below(3);
            (0..length).map(|_| SYLLABLES[(numbers.below(16) * numbers.below(16) / 16) as usize]).collect()
        })
        .collect()
}

fn main() {
    let words = words(size(500, 120_000));
    let mut counts: HashMap<&str, u64, Hasher> = HashMap::default();
    for word in &words {
        *counts.entry(word).or_default() += 1;
    }
    let mut places: HashMap<String, Vec<usize>, Hasher> = HashMap::default();
    for (place, word) in words.iter().enumerate() {
        places.entry(word.to_uppercase()).or_default().push(place);
    }
    let mut by_count: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
    for (word, count) in &counts {
        by_count.entry(*count).or_default().push(word);
    }
    let pairs: HashSet<(&str, &str), Hasher> =
        words.windows(2).map(|pair| (pair[0].as_str(), pair[1].as_str())).collect();
    let mut heap: BinaryHeap<(u64, &str)> = counts.iter().map(|(word, count)| (*count, *word)).collect();

    let mut sum = mix(0, pairs.len() as u64);
    for (count, group) in &mut by_count {
        group.sort_unstable();
        sum = group.iter().fold(mix(sum, *count), |sum, word| mix(sum, word.len() as u64));
    }
    while let Some((count, word)) = heap.pop() {
        let distance = places[&word.to_uppercase()].windows(2).map(|pair| pair[1] - pair[0]).max();
        sum = mix(sum, count + distance.unwrap_or(0) as u64);
    }
    result(sum);
}
