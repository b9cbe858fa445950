//! What values say of their column: how they are written, which scale answers are on, and what the column can hold.

use std::collections::BTreeSet;

use arrow::datatypes::DataType;
use engine::contract::Kind;
use engine::plural;

use super::names::{likeness, listed};
use super::{Column, Sure};

/// How a number or a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// 1.234,50 or 1,234.50; which of them is not sure where all marks stand before three digits.
    Number {
        comma: bool,
        marks: bool,
        sure: bool,
    },
    /// The contract reads it as it is.
    Time,
    YearFirst,
    /// 31/12/2024 or 12/31/2024, or shortly 31/12/24; which comes first may have to be told from other columns.
    Days {
        day_first: bool,
        sure: bool,
        short: bool,
    },
    /// 20241231, and 20241231 235959
    Compact,
    Seconds,
    Millis,
    Other,
}

/// What makes another number of the one that it stands beside.
const SCALES: &str = "k m t tsd mio mrd mld mln mil bn mn min ms hrs std";

fn is_dash(letter: char) -> bool {
    matches!(letter, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe63}' | '\u{ff0d}')
}

fn is_symbol(letter: char) -> bool {
    matches!(letter, '$' | '£'..='¥' | '฿' | '\u{20a0}'..='\u{20cf}')
}

/// The mark beside a number, such as its currency, and the number with nothing but its sign; `None` of what is not one run of
/// digits with at most one mark.
fn parted(value: &str) -> Option<(&str, String)> {
    let of_number = |letter: char| letter.is_ascii_digit() || matches!(letter, '.' | ',');
    let of_sign = |letter: char| is_dash(letter) || matches!(letter, '+' | '(' | ')');
    let (first, last) = (value.find(of_number)?, value.rfind(|letter: char| letter.is_ascii_digit())?);
    let (before, digits, after) = (&value[..first], &value[first..=last], &value[last + 1..]);
    let around = |letter: char| letter.is_whitespace() || of_sign(letter);
    let mark = match (before.trim_matches(around), after.trim_matches(around)) {
        (mark, "") | ("", mark) => mark,
        _ => return None,
    };
    let is_mark = mark.chars().count() <= 3
        && mark.chars().all(|letter| letter.is_alphabetic() || is_symbol(letter))
        && !listed(SCALES, &mark.trim_matches(is_symbol).to_lowercase());
    // An id such as c003 is no number.
    let is_id = before.ends_with(char::is_alphabetic) || after.starts_with(char::is_alphabetic);
    let spaced = digits.replace(|letter: char| letter.is_whitespace() || matches!(letter, '\'' | '\u{2019}'), " ");
    let (whole, decimals) = spaced.split_once([',', '.']).unwrap_or((spaced.as_str(), ""));
    let is_run = spaced.chars().all(|letter| of_number(letter) || letter == ' ')
        && (!spaced.contains(' ') || is_thousands(whole, ' ') && !decimals.contains(' '));
    if !is_mark || !is_run || is_id {
        return None;
    }
    Some((mark, value.chars().filter(|letter| of_number(*letter) || of_sign(*letter)).collect()))
}

/// The marks beside the numbers of a sample, and an empty one where a number has none. Not every number needs its currency; any
/// other word that only some have may be their sign, as CR.
pub(super) fn marks(sample: &[String]) -> BTreeSet<&str> {
    let mut marks: BTreeSet<&str> = sample.iter().filter_map(|value| parted(value)).map(|(mark, _)| mark).collect();
    let code = |mark: &str| mark.len() == 3 && mark.chars().all(|letter| letter.is_ascii_uppercase());
    if marks.len() == 2 && marks.iter().any(|mark| mark.contains(is_symbol) || code(mark)) {
        marks.remove("");
    }
    marks
}

/// Whether a minus is not a hyphen before the number: 3,20- or (3,20) or another dash.
pub(super) fn is_signed(value: &str) -> bool {
    parted(value).is_some_and(|(_, number)| {
        number.ends_with(is_dash)
            || number.starts_with(|letter: char| letter == '(' || letter != '-' && is_dash(letter))
    })
}

/// Whether a mark may be one of thousands: in 1.234 and 12.345.678, and not in 0.500 or 1234.500.
fn is_thousands(number: &str, mark: char) -> bool {
    let of_sign = |letter: char| !letter.is_ascii_digit() && !matches!(letter, '.' | ',');
    let mut parts = number.trim_matches(of_sign).split(mark);
    let first = parts.next().unwrap_or_default();
    let digits = |part: &str| part.chars().all(|letter| letter.is_ascii_digit());
    (1..=3).contains(&first.len())
        && digits(first)
        && !first.starts_with('0')
        && parts.all(|part| part.len() == 3 && digits(part))
}

/// The number that is written, with a comma or a point before its decimals.
fn number(value: &str, comma: bool) -> Option<f64> {
    if !comma && let Ok(number) = value.trim().parse() {
        return Some(number);
    }
    let (_, text) = parted(value)?;
    let minus = text.strip_prefix(is_dash).or_else(|| text.strip_suffix(is_dash));
    let minus = minus.or_else(|| text.strip_prefix('(')?.strip_suffix(')'));
    let digits = minus.unwrap_or(&text).replace(if comma { '.' } else { ',' }, "").replace(',', ".");
    let number: f64 = digits.parse().ok()?;
    Some(if minus.is_some() { -number } else { number })
}

pub(super) fn is_id(sample: &[String]) -> bool {
    !sample.is_empty() && sample.iter().all(|value| value.len() <= 64 && !value.contains([' ', ':', '\n', '.', ',']))
}

/// How the values of a column are written: so that nine of ten can be read.
pub(super) fn written(data_type: &DataType, sample: &[String]) -> Written {
    if matches!(data_type, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64) {
        return Written::Time;
    }
    if data_type.is_floating() || matches!(data_type, DataType::Decimal128(..) | DataType::Decimal256(..)) {
        return Written::Number { comma: false, marks: false, sure: true };
    }
    let values: Vec<&str> = sample.iter().map(|value| value.trim()).filter(|value| !value.is_empty()).collect();
    let most = |test: &dyn Fn(&str) -> bool| {
        let count = values.iter().filter(|value| test(value)).count();
        !values.is_empty() && count * 10 >= values.len() * 9
    };
    let whole =
        |value: &str, from: i64, to: i64| value.parse::<i64>().is_ok_and(|number| from <= number && number < to);
    let compact = |value: &str| {
        let Some((day, time)) = value.split_at_checked(8).filter(|(day, _)| day.is_ascii()) else { return false };
        let time = time.replace(':', "");
        let time = time.strip_prefix([' ', 'T']).unwrap_or(&time);
        whole(&day[4..6], 1, 13)
            && whole(&day[6..], 1, 32)
            && whole(&day[..4], 1990, 2100)
            && (value.len() == 8 || value.len() > 14 && time.len() == 6 && whole(time, 0, 240_000))
    };
    if most(&compact) {
        return Written::Compact;
    }
    if most(&|value| whole(value, 946_684_800, 4_102_444_800)) {
        return Written::Seconds;
    }
    if most(&|value| whole(value, 946_684_800_000, 4_102_444_800_000)) {
        return Written::Millis;
    }
    let numbers: Vec<String> = values.iter().filter_map(|value| parted(value)).map(|(_, number)| number).collect();
    // The last of two marks separates decimals, and so does a lone one that cannot be one of thousands.
    let decimals = |mark: char, other: char| {
        numbers.iter().any(|number| {
            number
                .rfind(mark)
                .is_some_and(|at| number.rfind(other).map_or_else(|| !is_thousands(number, mark), |before| before < at))
        })
    };
    let has = |mark: char| numbers.iter().any(|number| number.contains(mark));
    let twice = |mark: char| numbers.iter().any(|number| number.matches(mark).count() > 1);
    let plain = most(&|value| value.parse::<f64>().is_ok_and(f64::is_finite));
    let (comma, sure) = match (decimals(',', '.'), decimals('.', ',')) {
        (true, point) => (!(point && plain), true),
        (false, true) => (false, true),
        // Two marks in one number are those of thousands.
        (false, false) => (twice('.') || has('.') && !has(','), twice('.') != twice(',') || !has('.') && !has(',')),
    };
    if plain && !comma {
        return Written::Number { comma, marks: false, sure };
    }
    let iso = |value: &str| {
        let day: Vec<&str> = value.get(..10).unwrap_or_default().split('-').collect();
        day.iter().map(|part| part.len()).eq([4, 2, 2]) && whole(day[1], 1, 13) && whole(day[2], 1, 32)
    };
    if most(&iso) {
        return Written::Time;
    }
    let day = |value: &str| -> Option<[i64; 3]> {
        let day = value.split([' ', 'T']).next()?;
        // No part of a date has three digits, but every part of 12.345.678 may.
        let part = |part: &str| part.parse::<i64>().ok().filter(|_| part.len() != 3);
        let parts: Vec<i64> = day.split(['.', '/', '-']).map(part).collect::<Option<_>>()?;
        parts.try_into().ok()
    };
    let days: Vec<[i64; 3]> = values.iter().filter_map(|value| day(value)).collect();
    if !values.is_empty() && days.len() * 10 >= values.len() * 9 {
        let largest = |at: usize| days.iter().map(|day| day[at]).max().unwrap_or(0);
        let different = |at: usize| days.iter().map(|day| day[at]).collect::<BTreeSet<i64>>().len();
        let short = days.iter().any(|day| day[2] < 100);
        return match (largest(0), largest(1)) {
            (1000.., ..=12) => Written::YearFirst,
            // As 24-12-31: there are fewer years than days.
            _ if short && different(0) < different(2) => Written::Other,
            (13..=31, ..=12) => Written::Days { day_first: true, sure: true, short },
            (..=12, 13..=31) => Written::Days { day_first: false, sure: true, short },
            (..=12, ..=12) => {
                let dots = values.iter().any(|value| value.contains('.'));
                Written::Days { day_first: dots, sure: dots, short }
            }
            _ => Written::Other,
        };
    }
    if marks(sample).len() <= 1 && most(&|value| number(value, comma).is_some()) {
        let marks = values.iter().any(|value| parted(value).is_some_and(|(_, number)| number != *value));
        return Written::Number { comma, marks, sure };
    }
    Written::Other
}

/// The scale that answers are on, whether the name says so too, and what says so if it is not the name.
pub(super) fn scale(table: &str, name: &str, sample: &[String]) -> Option<(&'static str, Sure, String)> {
    let answers: Vec<f64> = sample.iter().filter_map(|value| value.trim().parse().ok()).collect();
    let share = |lowest: f64, highest: f64| {
        let within =
            answers.iter().filter(|answer| answer.fract() == 0.0 && (lowest..=highest).contains(*answer)).count();
        within as f64 / sample.len().max(1) as f64
    };
    let scales = [("csat", 1.0, 5.0), ("ces", 1.0, 7.0), ("nps", 0.0, 10.0)];
    for (score, lowest, highest) in scales {
        let (like, _) = likeness(table, name, score);
        if like >= 0.6 && share(lowest, highest) >= 0.8 {
            let sure = like >= 0.9;
            let why = if sure { String::new() } else { "by a part of its name; ".to_owned() };
            return Some((score, if sure { Sure::High } else { Sure::Fair }, why));
        }
    }
    if !["score", "nps", "csat", "ces"].iter().any(|score| likeness(table, name, score).0 >= 0.6) {
        return None;
    }
    let (score, lowest, highest) = scales.into_iter().find(|(_, lowest, highest)| share(*lowest, *highest) >= 0.95)?;
    let upper = score.to_uppercase();
    let mut why = format!(
        "a score by its name, and {upper} ({lowest} to {highest}) by its answers: it is the shortest scale that has them; "
    );
    if score == "nps" && !answers.contains(&0.0) {
        why.push_str("no answer is 0, so that it may as well be another scale, of 1 to 10; ");
    }
    Some((score, if score == "csat" { Sure::Fair } else { Sure::Guess }, why))
}

impl Column {
    pub(super) fn is_number(&self) -> bool {
        matches!(self.written, Written::Number { .. }) || self.data_type.is_integer()
    }

    pub(super) fn is_time(&self) -> bool {
        !matches!(self.written, Written::Number { .. } | Written::Other)
    }

    /// Whether nearly every row has a value of its own; a few copies are what exports have.
    pub(super) fn is_key(&self, rows: usize) -> bool {
        rows > 1 && self.filled * 20 >= rows * 19 && self.distinct * 10 >= self.filled * 9 && is_id(&self.sample)
    }

    pub(super) fn is_unique(&self) -> bool {
        self.distinct == self.filled
    }

    /// Whether the values can be what a column of the contract holds.
    pub(super) fn fits(&self, target: &str, kind: Kind) -> bool {
        let flag = |value: &String| FLAGS.iter().any(|(words, _)| words.contains(&value.to_lowercase().as_str()));
        match kind {
            _ if self.filled == 0 => false,
            Kind::Text if target.ends_with("_id") => self.written != Written::Time && self.distinct > 1,
            Kind::Text if target == "initiative" => !self.is_time(),
            Kind::Text => !self.is_time() && (self.distinct <= 300 || self.distinct * 20 <= self.filled),
            Kind::Instant | Kind::Day => self.is_time(),
            Kind::Month => self.written == Written::Time || self.sample.iter().all(|value| value.len() == 7),
            Kind::Money | Kind::Number | Kind::Seconds | Kind::Whole => self.is_number(),
            Kind::Flag => self.data_type == DataType::Boolean || self.sample.iter().all(flag),
            Kind::Score => false,
        }
    }

    /// What cannot be seen of how the values are written, and what is made of it.
    pub(super) fn doubts(&self) -> &'static str {
        match self.written {
            Written::Number { sure: false, comma: true, .. } => {
                "a point before three digits, in all values that have one, is taken for thousands; "
            }
            Written::Number { sure: false, .. } => {
                "a comma before three digits, in all values that have one, is taken for thousands; "
            }
            Written::Days { sure: false, short: false, .. } => "whether days or months come first cannot be seen; ",
            Written::Days { sure: false, .. } => {
                "whether days or months come first cannot be seen, and years of two digits are taken for 20..; "
            }
            Written::Days { short: true, .. } => "years of two digits are taken for 20..; ",
            _ => "",
        }
    }

    /// What is in it, in a few words; no values of ids and of free text, which may be personal.
    pub(super) fn said(&self, target: &str) -> String {
        let values = plural(self.filled, "value", "values");
        let counts = format!("{} {values}, about {} different", self.filled, self.distinct.min(self.filled));
        let unsorted = matches!(self.written, Written::Days { .. });
        if target.ends_with("_id") || unsorted || self.written == Written::Other && self.distinct > 50 {
            return counts;
        }
        let shortest = |value: &String| value.chars().take(19).collect::<String>();
        let read = |value: &String| match self.written {
            Written::Number { comma, .. } => number(value, comma),
            _ => value.parse().ok(),
        };
        let mut numbers: Vec<(f64, &String)> =
            self.sample.iter().filter_map(|value| Some((read(value)?, value))).collect();
        numbers.sort_by(|one, other| one.0.total_cmp(&other.0));
        let ends = if self.is_number() || numbers.len() == self.sample.len() {
            numbers.first().zip(numbers.last()).map(|(lowest, highest)| (shortest(lowest.1), shortest(highest.1)))
        } else {
            self.sample.iter().min().map(shortest).zip(self.sample.iter().max().map(shortest))
        };
        let (lowest, highest) = ends.unwrap_or_default();
        format!("{counts}, from {lowest:?} to {highest:?}")
    }
}

/// What people write for true and false, beside what every database reads.
pub(super) const FLAGS: &[(&[&str], bool)] = &[
    (&["1", "true", "t", "yes", "y", "ja", "j", "si", "sí", "s", "oui", "o", "sim", "wahr"], true),
    (&["0", "false", "f", "no", "n", "nein", "non", "nao", "não", "falsch"], false),
];
