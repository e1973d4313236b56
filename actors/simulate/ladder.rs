//! A message ladder of one presentity, as RFCs draw them: hosts side by side, time downwards.

use std::fmt::Write as _;
use std::time::Duration;

/// One arrow.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rung {
    at: Duration,
    from: usize,
    to: usize,
    label: String,
    lost: bool,
}

/// A ladder under construction. Hosts get a column in the order in which they first appear.
#[derive(Clone, Debug, Default)]
pub struct Ladder {
    hosts: Vec<String>,
    rungs: Vec<Rung>,
    left_out: usize,
}

/// Arrows beyond this many are counted, not drawn: nobody reads a ladder of ten thousand.
const MOST_RUNGS: usize = 400;
/// Width of a column in characters.
const COLUMN: usize = 26;

impl Ladder {
    /// An arrow from one host to another, `at` after the beginning. A lost message ends in an `x`.
    pub fn arrow(&mut self, at: Duration, from: &str, to: &str, label: String, lost: bool) {
        if self.rungs.len() == MOST_RUNGS {
            self.left_out += 1;
            return;
        }
        let (from, to) = (self.column(from), self.column(to));
        self.rungs.push(Rung {
            at,
            from,
            to,
            label,
            lost,
        });
    }

    fn column(&mut self, host: &str) -> usize {
        self.hosts
            .iter()
            .position(|known| known == host)
            .unwrap_or_else(|| {
                self.hosts.push(host.to_owned());
                self.hosts.len() - 1
            })
    }

    /// The drawing, a line a message.
    pub fn draw(&self) -> String {
        let mut text = String::new();
        let _ = write!(text, "{:>12} ", "");
        for host in &self.hosts {
            let _ = write!(text, "{host:<COLUMN$}");
        }
        let mut lines = vec![text.trim_end().to_owned()];
        lines.extend(self.rungs.iter().map(|rung| self.line(rung)));
        if self.left_out > 0 {
            lines.push(format!("{:>12} … and {} more", "", self.left_out));
        }
        lines.join("\n")
    }

    fn line(&self, rung: &Rung) -> String {
        let mut cells: Vec<char> = vec![' '; COLUMN * self.hosts.len()];
        for column in 0..self.hosts.len() {
            cells[column * COLUMN] = '|';
        }
        let (left, right) = (
            rung.from.min(rung.to) * COLUMN,
            rung.from.max(rung.to) * COLUMN,
        );
        for cell in cells.iter_mut().take(right).skip(left + 1) {
            *cell = '-';
        }
        let label: Vec<char> = format!(" {} ", rung.label)
            .chars()
            .take((right - left).saturating_sub(4))
            .collect();
        let begin = left + (right - left).saturating_sub(label.len()) / 2;
        cells.splice(begin..begin + label.len(), label);
        if right > left {
            let head = if rung.lost {
                'x'
            } else if rung.to > rung.from {
                '>'
            } else {
                '<'
            };
            let tip = if rung.to > rung.from {
                right - 1
            } else {
                left + 1
            };
            cells[tip] = head;
        }
        let line: String = cells.into_iter().collect();
        format!("{:>10.3} s {}", rung.at.as_secs_f64(), line.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_point_from_sender_to_receiver() {
        let mut ladder = Ladder::default();
        ladder.arrow(
            Duration::from_millis(1500),
            "client-1",
            "server",
            "PUBLISH".to_owned(),
            false,
        );
        ladder.arrow(
            Duration::from_millis(1520),
            "server",
            "client-1",
            "200 OK".to_owned(),
            true,
        );
        let drawing = ladder.draw();
        let lines: Vec<&str> = drawing.lines().collect();
        assert_eq!(lines[0], "             client-1                  server");
        assert_eq!(lines[1], "     1.500 s |------- PUBLISH -------->|");
        assert_eq!(lines[2], "     1.520 s |x------- 200 OK ---------|");
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn what_nobody_would_read_is_counted() {
        let mut ladder = Ladder::default();
        for _ in 0..MOST_RUNGS + 5 {
            ladder.arrow(Duration::ZERO, "a", "b", "x".to_owned(), false);
        }
        assert!(ladder.draw().ends_with("… and 5 more"));
    }
}
