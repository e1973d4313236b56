//! What was typed: the values of a config file and of the command line, each with its place.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem};

/// A value as it was typed.
#[derive(Clone, Debug)]
pub struct Value {
    /// Where it was typed.
    pub at: Place,
    /// What it is.
    pub what: What,
}

/// The kinds of value that TOML has, and the one the command line has.
#[derive(Clone, Debug)]
pub enum What {
    /// A string of the file.
    Text(String),
    /// An argument of the command line, which may mean a number just as well.
    Typed(String),
    /// An integer; `None` when it does not fit 64 bits.
    Whole(Option<i64>),
    /// A float.
    Number(f64),
    /// True or false.
    Truth(bool),
    /// An array.
    List(Vec<Value>),
    /// A table.
    Table(Table),
    /// A date or a time, which no key takes.
    Date(String),
}

/// A table: keys with their places, and their values.
pub type Table = BTreeMap<String, (Place, Value)>;

impl Value {
    /// As it is quoted in a sentence.
    pub fn quoted(&self) -> String {
        match &self.what {
            What::Text(text) | What::Typed(text) => format!("{text:?}"),
            What::Whole(Some(number)) => number.to_string(),
            What::Whole(None) => "this number".to_owned(),
            What::Number(number) => number.to_string(),
            What::Truth(truth) => truth.to_string(),
            What::List(_) => "a list".to_owned(),
            What::Table(_) => "a table".to_owned(),
            What::Date(date) => date.clone(),
        }
    }

    /// The text, from the file or the command line.
    pub fn text(&self) -> Option<&str> {
        match &self.what {
            What::Text(text) | What::Typed(text) => Some(text),
            What::Whole(_) | What::Number(_) | What::Truth(_) | What::List(_) => None,
            What::Table(_) | What::Date(_) => None,
        }
    }
}

/// Reads a config file. Of the errors of its syntax the first of each line is reported: others follow from it.
pub fn parse(text: &str, file: &str) -> (Table, Vec<Problem>) {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut problems: Vec<_> = errors
        .iter()
        .map(|error| Problem {
            place: error
                .span()
                .map_or(Place::Nowhere, |span| Place::of(text, span.start)),
            file: Some(file.to_owned()),
            key: String::new(),
            sentence: one_line(error.message()),
        })
        .collect();
    problems.sort();
    problems.dedup_by_key(|problem| match problem.place {
        Place::File { line, .. } => line,
        Place::Flag(_) | Place::Nowhere => 0,
    });
    (table(root.get_ref(), text), problems)
}

/// TOML's parser tells what it expected on a second line.
fn one_line(message: &str) -> String {
    message
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(", ")
}

fn table(from: &DeTable<'_>, text: &str) -> Table {
    from.iter()
        .map(|(key, of)| {
            let at = Place::of(text, key.span().start);
            (key.get_ref().to_string(), (at, value(of, text)))
        })
        .collect()
}

fn value(from: &Spanned<DeValue<'_>>, text: &str) -> Value {
    let what = match from.get_ref() {
        DeValue::String(string) => What::Text(string.to_string()),
        DeValue::Integer(number) => {
            What::Whole(i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok())
        }
        DeValue::Float(number) => {
            What::Number(number.as_str().replace('_', "").parse().unwrap_or(f64::NAN))
        }
        DeValue::Boolean(truth) => What::Truth(*truth),
        DeValue::Datetime(date) => What::Date(date.to_string()),
        DeValue::Array(list) => What::List(list.iter().map(|of| value(of, text)).collect()),
        DeValue::Table(of) => What::Table(table(of, text)),
    };
    Value {
        at: Place::of(text, from.span().start),
        what,
    }
}

/// Flags of the command line: they stand where the file's keys stand, and win over them.
#[derive(Clone, Debug, Default)]
pub struct Flags(Vec<(&'static [&'static str], Value)>);

impl Flags {
    /// `flag` sets the key at `path` when it was given.
    pub fn set(
        &mut self,
        flag: &'static str,
        path: &'static [&'static str],
        given: Option<&String>,
    ) {
        if let Some(given) = given {
            let what = What::Typed(given.clone());
            self.0.push((
                path,
                Value {
                    at: Place::Flag(flag),
                    what,
                },
            ));
        }
    }

    /// `flag`, which may be repeated, sets the list at `path` when it was given at all.
    pub fn set_list(
        &mut self,
        flag: &'static str,
        path: &'static [&'static str],
        given: &[String],
    ) {
        if given.is_empty() {
            return;
        }
        let one = |text: &String| Value {
            at: Place::Flag(flag),
            what: What::Typed(text.clone()),
        };
        let what = What::List(given.iter().map(one).collect());
        self.0.push((
            path,
            Value {
                at: Place::Flag(flag),
                what,
            },
        ));
    }

    /// Puts the flags into what the file says.
    pub fn over(self, root: &mut Table) {
        for (path, value) in self.0 {
            let Some((name, sections)) = path.split_last() else {
                continue;
            };
            let mut table = &mut *root;
            for section in sections {
                let at = value.at.clone();
                let what = What::Table(Table::new());
                let entry = table
                    .entry((*section).to_owned())
                    .or_insert_with(|| (at.clone(), Value { at, what }));
                // A section that is no table is reported when the file is read; the flag still counts.
                if !matches!(entry.1.what, What::Table(_)) {
                    entry.1.what = What::Table(Table::new());
                }
                let What::Table(inner) = &mut entry.1.what else {
                    return;
                };
                table = inner;
            }
            table.insert((*name).to_owned(), (value.at.clone(), value));
        }
    }
}
