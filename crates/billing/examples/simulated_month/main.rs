//! Closes a month of a million usage records, and says in how long and with how much memory.
//!
//! ```sh
//! cargo run --release -p billing --example simulated_month [records [folder]]
//! ```
//!
//! The records are priced by the seed's price book and lie serialised on disk, a file per tenant; statements
//! are written beside them. Both stay if a folder is named. Everything is added up a second way, and a
//! difference of one nano-USD ends it with an error.

#![expect(clippy::print_stdout, reason = "its only output")]

mod ledger;
mod month;

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use billing::fakes::InMemoryBilling;
use billing::port::BillingStore as _;
use billing::{
    Account, Allowance, LobStatement, Month, Plan, Ports, Progress, Rate, SETTLING_MS, Statement,
    Volume,
};
use metering::{NanoUsd, PicoUsd};

use crate::ledger::{Files, Ledger, Made};
use crate::month::{LOBS, TENANTS, credit, december, lob_of, november, tenant};

/// Records that reach the ledger only after the month was closed.
const LATE: u64 = 5_000;

/// As a failed check ends.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let records = arguments.next().map_or(Ok(1_000_000), |it| it.parse())?;
    let temporary = tempfile::tempdir()?;
    let folder = arguments.next().map_or_else(|| temporary.path().to_owned(), PathBuf::from);

    let started = Instant::now();
    let ledger = Ledger::new(folder.join("ledger"))?;
    let mut made = ledger.generate(records, 0)?;
    println!(
        "{} records, {} MB on disk, made in {:.1} s",
        made.records,
        made.bytes / 1_000_000,
        started.elapsed().as_secs_f64()
    );

    let books = InMemoryBilling::default();
    agree(&books).await?;
    let files = Files(folder);
    let ports = Ports { store: &books, usage: &ledger, documents: &files, events: &books };
    reset_peak()?;
    let before = memory_kb("VmRSS")?;
    let started = Instant::now();
    let progress =
        ports.close(&november()?, "u-1", november()?.end_ms + SETTLING_MS, &|| false).await?;
    let elapsed = started.elapsed().as_secs_f64();
    let Progress::Done(Some(closed)) = progress else {
        return Err("the month was not closed".into());
    };
    println!(
        "closed {}: {} statements of tenants, {} of lines of business, in {elapsed:.1} s ({:.0} records/s), peak {} MB, {} MB before",
        closed.period,
        closed.tenants,
        closed.lobs,
        f64::from(u32::try_from(closed.records)?) / elapsed,
        memory_kb("VmHWM")? / 1_000,
        before / 1_000
    );
    check(&files, &november()?, &made, closed.records, closed.cost_nanousd.0)?;

    // What comes late is billed in December.
    made.plus(&ledger.generate(LATE, records)?);
    let started = Instant::now();
    let period: Month = "2026-12".parse()?;
    let progress = ports.correct(&november()?, period, december()?.end_ms, None, &|| false).await?;
    let Progress::Done(booked) = progress else {
        return Err("not everything was corrected".into());
    };
    println!(
        "{LATE} late records: {booked} corrections in {:.1} s",
        started.elapsed().as_secs_f64()
    );
    let progress = ports.correct(&november()?, period, december()?.end_ms, None, &|| false).await?;
    if progress != Progress::Done(0) {
        return Err("what was corrected was corrected again".into());
    }
    ports.close(&december()?, "u-1", december()?.end_ms + SETTLING_MS, &|| false).await?;
    let mut corrected = 0;
    for number in 0..TENANTS {
        let account = Account::Tenant(tenant(number)?);
        for entry in books.entries(&account, period..=period).await? {
            corrected +=
                if entry.id.starts_with("late-usage") { entry.amount_nanousd.0 } else { 0 };
        }
    }
    let billed = usage_charge(&files, &november()?)? + i128::from(corrected);
    let due = ledger.due(&files, &november()?)?;
    println!(
        "billed for usage with corrections: {billed} nano-USD; due by all records of the ledger: {due} nano-USD"
    );
    if billed == due { Ok(()) } else { Err("what was billed is not what is due".into()) }
}

/// Tenants of every kind of plan, with credits.
async fn agree(books: &InMemoryBilling) -> Result<(), Failure> {
    let from = |id: &str| -> Result<Plan, Failure> {
        Ok(Plan { id: id.to_owned(), valid_from: "2026-11".parse()?, ..Plan::at_cost() })
    };
    let markup = Plan { markup_bp: 1_250, discount_bp: 300, ..from("marked-up")? };
    books.put_plan(&Account::Lob(LOBS[1].parse()?), &markup).await?;
    let included = vec![
        Allowance {
            id: "tokens".to_owned(),
            volume: Volume::Tokens(20_000_000),
            models: ["nova-lite".parse()?].into(),
        },
        Allowance {
            id: "dollars".to_owned(),
            volume: Volume::AmountNanousd(5_000_000_000),
            models: [].into(),
        },
    ];
    let fee = Plan { flat_fee_nanousd: NanoUsd(99_000_000_000), included, ..from("team")? };
    books.put_plan(&Account::Lob(LOBS[2].parse()?), &fee).await?;
    let rate = Rate { input: PicoUsd(1_000_000), output: PicoUsd(5_000_000), ..Rate::default() };
    let rates = Plan { rates: [("claude-sonnet-4-5".parse()?, rate)].into(), ..from("own-rates")? };
    for number in 0..TENANTS {
        books.onboard(tenant(number)?.as_str(), lob_of(number))?;
        let account = Account::Tenant(tenant(number)?);
        if number % 10 == 7 {
            books.put_plan(&account, &rates).await?;
        }
        if number % 5 == 0 {
            books.book(&credit(account)?).await?;
        }
    }
    Ok(())
}

/// Adds the statements up line by line, and compares them with what was put into the ledger.
fn check(
    files: &Files,
    span: &billing::Span,
    made: &Made,
    records: u64,
    cost: i64,
) -> Result<(), Failure> {
    let (mut lines, mut line_cost, mut totals, mut lobs) = (0_u64, 0_i128, 0_i128, 0_i128);
    for number in 0..TENANTS {
        let statement: Statement = files.read(&Account::Tenant(tenant(number)?), span)?;
        let usage: i128 =
            statement.lines.iter().map(|line| i128::from(line.charge_nanousd.0)).sum();
        let entries: i128 =
            statement.entries.iter().map(|entry| i128::from(entry.amount_nanousd.0)).sum();
        if usage + entries != i128::from(statement.totals.total_nanousd.0) {
            return Err(format!("the statement of {} does not add up", statement.tenant_id).into());
        }
        lines += u64::try_from(statement.lines.len())?;
        line_cost +=
            statement.lines.iter().map(|line| i128::from(line.sum.cost_nanousd.0)).sum::<i128>();
        totals += usage + entries;
    }
    for lob in LOBS {
        let statement: LobStatement = files.read(&Account::Lob(lob.parse()?), span)?;
        lobs += i128::from(statement.totals.total_nanousd.0);
    }
    println!(
        "{lines} lines; cost on statements {line_cost} nano-USD, in the ledger {} nano-USD; billed {totals} nano-USD",
        made.cost
    );
    let agrees = line_cost == made.cost
        && i128::from(cost) == made.cost
        && records == made.records
        && lobs == totals;
    if agrees { Ok(()) } else { Err("statements and ledger differ".into()) }
}

fn usage_charge(files: &Files, span: &billing::Span) -> Result<i128, Failure> {
    let mut sum = 0;
    for number in 0..TENANTS {
        let statement: Statement = files.read(&Account::Tenant(tenant(number)?), span)?;
        sum += i128::from(statement.totals.charge_nanousd.0);
    }
    Ok(sum)
}

/// A line of what Linux says of this process.
fn memory_kb(name: &str) -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line")?;
    Ok(line.trim_matches([':', ' ', '\t', 'k', 'B']).parse()?)
}

/// Forgets the peak that making the records took.
fn reset_peak() -> Result<(), Failure> {
    Ok(std::fs::write("/proc/self/clear_refs", "5")?)
}
