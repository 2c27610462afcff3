//! Measures the functions' release binaries: `cargo bench -p function-bench`, see `docs/benchmarks.md`.
//!
//! Here is what needs nothing but the standard library; the rest is in `benches/functions`.

mod prelude;
mod process;
mod sample;

pub use prelude::Prelude;
pub use process::{Memory, cpu_time, load, memory};
pub use sample::Sample;
