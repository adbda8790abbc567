//! Runs many seeds on all cores and adds up their figures.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::run::{Outcome, run};

/// Whether progress is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    Silent,
    Shown,
}

/// The seeds that fail before a run of many seeds ends early.
const MAX_FAILURES: usize = 5;
/// The lines of the trace that a failure shows.
const TRACE_LINES: usize = 120;

/// The figures of many seeds.
#[derive(Default)]
pub struct Totals {
    seeds: u64,
    steps: u64,
    by_request: BTreeMap<String, u64>,
    faults: BTreeMap<&'static str, u64>,
    pub failures: Vec<Outcome>,
    took: Duration,
}

#[allow(clippy::disallowed_methods, reason = "the rate is of real time")]
pub fn run_seeds(first: u64, seeds: u64, progress: Progress) -> Totals {
    let began = Instant::now();
    let max_failures = std::env::var("SIMULATE_MAX_FAILURES").ok().and_then(|max| max.parse().ok());
    let max_failures: usize = max_failures.unwrap_or(MAX_FAILURES);
    let (next, totals) = (AtomicU64::new(first), Mutex::new(Totals::default()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + seeds || totals.lock().unwrap().failures.len() >= max_failures {
                return;
            }
            let outcome = run(seed);
            let mut totals = totals.lock().unwrap();
            totals.add(outcome, progress);
            totals.took = began.elapsed();
            if progress == Progress::Shown && totals.seeds.is_multiple_of(100) {
                eprintln!("{}", totals.line());
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(work);
        }
    });
    totals.into_inner().unwrap()
}

impl Totals {
    fn add(&mut self, outcome: Outcome, progress: Progress) {
        self.seeds += 1;
        self.steps += outcome.steps;
        for (name, count) in &outcome.by_request {
            *self.by_request.entry(name.clone()).or_default() += count;
        }
        for (kind, count) in &outcome.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        if outcome.violation.is_some() {
            if progress == Progress::Shown {
                eprintln!("{}", failure_text(&outcome));
            }
            self.failures.push(outcome);
        }
    }

    fn line(&self) -> String {
        let rate = |count: u64| {
            #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
            let rate = count as f64 / self.took.as_secs_f64();
            rate
        };
        let Self { seeds, steps, failures, .. } = self;
        format!(
            "{seeds} seeds, {steps} steps, {} failed; {:.1} seeds and {:.0} steps per second",
            failures.len(),
            rate(*seeds),
            rate(*steps),
        )
    }

    pub fn failures_text(&self) -> String {
        self.failures.iter().map(failure_text).collect()
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.line())?;
        for (title, counts) in [
            ("faults", self.faults.iter().map(|(kind, count)| (*kind, count)).collect()),
            (
                "responses",
                self.by_request.iter().map(|(kind, count)| (kind.as_str(), count)).collect(),
            ),
        ] as [(_, Vec<(&str, &u64)>); 2]
        {
            writeln!(formatter, "{title}:")?;
            for (kind, count) in counts {
                writeln!(formatter, "  {count:>9} {kind}")?;
            }
        }
        Ok(())
    }
}

/// The violation, the steps that led to it, and the command that repeats it.
fn failure_text(outcome: &Outcome) -> String {
    let mut text = String::new();
    let violation = outcome.violation.as_deref().unwrap_or_default();
    let _ = writeln!(text, "\nSeed {} violates an invariant: {violation}", outcome.seed);
    let subjects = subjects(violation);
    let concerns = |line: &&String| subjects.iter().any(|subject| line.contains(subject));
    let concerned: Vec<&String> = outcome.trace.iter().filter(concerns).collect();
    let _ = writeln!(text, " All steps that name {}:", subjects.join(", "));
    show(&mut text, &concerned[concerned.len().saturating_sub(TRACE_LINES)..]);
    let all: Vec<&String> = outcome.trace.iter().collect();
    let _ = writeln!(text, " The last steps:");
    show(&mut text, &all[all.len().saturating_sub(TRACE_LINES)..]);
    let _ = writeln!(text, "Repeat it: npm run simulate -- --seed {}", outcome.seed);
    text
}

/// The ids in a violation.
fn subjects(violation: &str) -> Vec<&str> {
    let words = violation.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
    words.filter(|word| word.len() == 26 || word.starts_with("session_")).collect()
}

/// Appends lines; a run of equal faults is one line.
fn show(text: &mut String, lines: &[&String]) {
    let kind = |line: &str| line.split_once(" fault: ").map(|(_, kind)| kind.to_owned());
    for (index, line) in lines.iter().enumerate() {
        let this = kind(line);
        if this.is_none() || index == 0 || kind(lines[index - 1]) != this {
            let _ = writeln!(text, "  {line}");
        }
    }
}
