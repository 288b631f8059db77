//! What was found, as tables of Markdown.
use crate::{Result, load::Sample};
use std::fmt::Write;

/// The middle one by what it measures; each figure by itself.
pub fn median(samples: &[Sample]) -> Sample {
    let of = |figure: fn(&Sample) -> f64| {
        let mut all: Vec<_> = samples.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or_default()
    };
    Sample {
        requests: of(|s| s.requests),
        p50: of(|s| s.p50),
        p99: of(|s| s.p99),
        server: of(|s| s.server),
        postgres: of(|s| s.postgres),
    }
}

/// The median of the ratios of the rounds, in which both were loaded one after the other.
pub fn ratio(samples: &[Sample], to: &[Sample]) -> f64 {
    let mut ratios: Vec<_> = samples.iter().zip(to).map(|(a, b)| a.cost() / b.cost()).collect();
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied().unwrap_or_default()
}

#[derive(Default)]
pub struct Report {
    text: String,
}

impl Report {
    pub fn line(&mut self, text: &str) {
        println!("{text}");
        let _ = writeln!(self.text, "{text}");
    }

    pub fn table(&mut self, heads: &[&str], rows: &[Vec<String>]) {
        self.line("");
        self.line(&format!("| {} |", heads.join(" | ")));
        self.line(&format!("|{}", " --- |".repeat(heads.len())));
        for row in rows {
            self.line(&format!("| {} |", row.join(" | ")));
        }
    }

    /// Puts it in the place between the two marks of a document.
    pub fn write(&self, path: &std::path::Path) -> Result<()> {
        const MARKS: [&str; 2] = ["<!-- results -->\n", "<!-- end of results -->"];
        let document = std::fs::read_to_string(path)?;
        let (before, rest) = document.split_once(MARKS[0]).ok_or("no mark for the results")?;
        let (_, after) = rest.split_once(MARKS[1]).ok_or("no mark for the end of the results")?;
        Ok(std::fs::write(path, format!("{before}{}\n{}\n{}{after}", MARKS[0], self.text.trim(), MARKS[1]))?)
    }
}

/// Requests a second, the two latencies, and the two costs.
pub fn figures(sample: &Sample) -> Vec<String> {
    vec![
        format!("{:.0}", sample.requests),
        format!("{:.1}", sample.p50),
        format!("{:.1}", sample.p99),
        format!("{:.0}", sample.server),
        format!("{:.0}", sample.postgres),
    ]
}

pub const FIGURES: [&str; 5] = ["requests/s", "p50 ms", "p99 ms", "server µs", "PostgreSQL µs"];

/// One decimal more than a reader needs to see on which side of its limit it is.
pub fn of_limit(ratio: f64, limit: Option<f64>) -> String {
    match limit {
        Some(limit) => format!("{ratio:.2} (at most {limit})"),
        None => format!("{ratio:.2}"),
    }
}
