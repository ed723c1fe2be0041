//! regex-log: finds, splits and replaces by regular expressions in a generated server log.

use regex::Regex;
use rust_guests::{mix, result, size, Numbers};

fn log(lines: u64) -> String {
    const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
    const WORDS: [&str; 8] = ["account", "basket", "search", "Straße", "login", "static", "api", "héros"];
    let mut numbers = Numbers::new(2718);
    let mut text = String::new();
    for line in 0..lines {
        let method = METHODS[numbers.below(4) as usize];
        let first = WORDS[numbers.below(8) as usize];
        let second = WORDS[numbers.below(8) as usize];
        let (a, b, c) = (numbers.below(256), numbers.below(256), numbers.below(256));
        let status = [200, 200, 200, 304, 404, 500][numbers.below(6) as usize];
        let id = numbers.below(100_000);
        let took = numbers.below(5000);
        text.push_str(&format!(
            "10.{a}.{b}.{c} - user{id}@example.org [{line:06}] \"{method} /{first}/{second}?id={id}\" {status} {took}ms\n"
        ));
    }
    text
}

fn main() {
    let text = log(size(40, 8000));
    let line = Regex::new(
        r#"(?m)^(?P<host>\d+\.\d+\.\d+\.\d+) - (?P<user>[^ ]+) \[(?P<at>\d+)\] "(?P<verb>[A-Z]+) (?P<path>[^"]*)" (?P<status>\d{3}) (?P<ms>\d+)ms$"#,
    )
    .expect("a valid expression");
    let slow = Regex::new(r"(?i)(search|stra\w+|basket)/(\w+)\?id=\d*7\d*.* (4\d\d|500) \d{4}ms").expect("a valid expression");
    let mail = Regex::new(r"\b([a-z]+)(\d+)@(\w+)\.org\b").expect("a valid expression");

    let mut sum = 0;
    for found in line.captures_iter(&text) {
        let number = |name: &str| found[name].parse::<u64>().unwrap_or(0);
        sum = mix(sum, number("status") * 10_000 + number("ms"));
        sum = mix(sum, (found["path"].len() * 100 + found["verb"].len()) as u64);
    }
    for found in slow.find_iter(&text) {
        sum = mix(sum, found.start() as u64);
    }
    let hidden = mail.replace_all(&text, "$1@$3");
    for byte in hidden.bytes() {
        sum = mix(sum, u64::from(byte));
    }
    result(sum);
}
