//! Does an operation so many times and nothing else, to be counted by callgrind: see benches/instructions.
//!
//! Without arguments it names the operations.

mod cases;
mod fixtures;

use cases::CASES;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|text| text != "--bench");
    let (Some(name), Some(times)) = (arguments.next(), arguments.next()) else {
        for (name, _) in CASES {
            println!("{name}");
        }
        return;
    };
    let case = CASES.into_iter().find(|(own, _)| *own == name);
    let (Some((_, make)), Ok(times)) = (case, times.parse::<u32>()) else {
        eprintln!("instructions: no operation {name:?}, or {times:?} is no number");
        std::process::exit(2);
    };
    let mut run = make();
    for _ in 0..times {
        run();
    }
}
