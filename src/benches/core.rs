//! How long parts of the core take: `cargo bench -p rollcall-core --bench core`.

mod cases;
mod fixtures;

use cases::CASES;

fn main() {
    divan::main();
}

#[divan::bench(args = CASES.map(|(name, _)| name))]
fn operation(bencher: divan::Bencher<'_, '_>, name: &str) {
    let (_, make) = CASES
        .into_iter()
        .find(|(own, _)| *own == name)
        .expect("one of the cases");
    bencher.bench_local(make());
}
