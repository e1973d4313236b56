//! A whole world in virtual time: Managers with simulated people, Presence Clients, the Presence Server, watchers, and a
//! network that delays, loses, doubles, reorders and partitions. The same seed gives the same trace.
//!
//! ```text
//!  faults ├──────────── duration ───────────┤ calm ├─ settle ─┤ all but the server crash ├─ everything expires ─┤
//! ```

mod books;
mod caller;
mod disk;
mod faults;
mod ladder;
mod ledger;
mod observer;
mod people;
mod promises;
mod report;
mod sabotage;
mod seeds;
mod source;
mod traffic;
mod vary;
mod work;
mod world;

use std::path::PathBuf;
use std::time::Duration;

use rollcall_core::entropy::Entropy;
use rollcall_core::time::Timestamp;

use crate::clock::Clock;
use crate::config;
use crate::node::{NodeError, Progress, Simulated};
use books::Books;
use disk::{Health, SimDisk};
use faults::{Fault, Faults};
use ledger::Ledger;
use observer::Observer;
use promises::Promises;
use work::Work;
use world::{Who, World};

pub use ledger::{Invariant, Violation};
pub use sabotage::Sabotage;
pub use seeds::{Broken, Seeds, Summary, Tally, of_seed, run_seeds};
pub use vary::vary;

/// When every simulated world begins: 2026-01-01, so that traces can be compared.
const BEGINNING: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// What the disk draws must not go along with what others draw from the same seed.
const DISK: u64 = 0x6469_736b;

/// How often progress is told, in virtual time.
const STEP: Duration = Duration::from_secs(10);

/// After everybody has gone: longer than any publication or subscription is granted in the simulated world, and so much more as a clock
/// may have been set back.
const AFTERMATH: Duration = Duration::from_secs(2 * 3600);

/// What is done to a world besides what its settings say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// The presentity whose message ladder is drawn.
    pub ladder: Option<&'a str>,
    /// Only the planned faults of these numbers happen.
    pub only: Option<&'a [usize]>,
    /// Breaks an invariant on purpose, to see that the breach is found. For tests only.
    pub sabotage: Option<Sabotage>,
    /// A mistake that the server makes, to see that it is found.
    #[cfg(feature = "sabotage")]
    pub mistake: Option<rollcall_core::sabotage::Mistake>,
}

/// Runs a world to its end, on a runtime of its own with a paused clock.
pub fn run(
    settings: &config::Simulate,
    options: Options<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Simulated, NodeError> {
    #[cfg(feature = "sabotage")]
    let _made = rollcall_core::sabotage::make(options.mistake);
    let folder = Folder::new(settings.seed)?;
    let system = actix_rt::System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime without sockets needs nothing that could be missing")
    });
    system.block_on(live(settings, options, folder.0.clone(), progress))
}

async fn live(
    settings: &config::Simulate,
    options: Options<'_>,
    folder: PathBuf,
    progress: &mut dyn FnMut(Progress),
) -> Result<Simulated, NodeError> {
    let clock = Clock::starting_at(BEGINNING);
    let disk = SimDisk::new(Entropy::from_number(settings.seed ^ DISK));
    let promises = Promises::new(world::server_address(), disk.clone());
    let books = Books::new(
        Ledger::new(BEGINNING),
        Observer::new(BEGINNING, options.ladder, options.sabotage, promises),
    );
    let mut world = World::new(
        settings,
        options.sabotage,
        clock,
        books.clone(),
        (disk, folder),
    );
    world.start().await?;

    let (mut faults, planned) = Faults::plan(settings, &world.everybody(), options.only);
    let quiet = BEGINNING + settings.duration;
    // A server whose clock was set back grants so much more, and watchers come back only then.
    let settled = quiet + settings.settle + settings.faults.clock_jump * 2;
    // Hardly anything happens afterwards, so the bar shows only the time until then.
    let mut tell = |now: Timestamp| {
        progress(Progress {
            passed: now.min(settled).since(BEGINNING),
            total: settled.since(BEGINNING),
        });
    };
    let mut now = clock.now();
    while now < quiet {
        let next = faults.next().unwrap_or(quiet).min(now + STEP).min(quiet);
        tokio::time::sleep_until(clock.instant(next)).await;
        now = clock.now();
        for fault in faults.due(now) {
            happen(&mut world, fault).await?;
        }
        tell(now);
    }

    world.calm();
    world.heal();
    world.set_disk(Health::Good);
    for who in world.everybody() {
        world.restart(who).await?;
    }
    while clock.now() < settled {
        tokio::time::sleep(STEP).await;
        tell(clock.now());
    }
    books.with(|ledger, observer| {
        ledger.settle(clock.now());
        observer.promises.settle(clock.now(), ledger);
        observer.stop_counting();
    });
    let network = world.network().statistics();
    let work = Work::so_far();
    books.with(|ledger, _| {
        let hosts = u64::try_from(world.everybody().len()).unwrap_or(u64::MAX);
        let most = work.most(&network, settled.since(BEGINNING), hosts);
        ledger.worked(clock.now(), work.wakes, most);
    });
    let present = world.present().await;
    let past = world.past().clone();

    world.crash_all_but_the_server().await;
    tokio::time::sleep(AFTERMATH + settings.faults.clock_jump * 2).await;
    let left = world.present().await;
    books.with(|ledger, _| {
        let now = clock.now();
        for (kind, rows) in report::rows(&left) {
            ledger.left_over(now, kind, rows);
        }
        ledger.left_over(
            now,
            "stored records",
            u64::try_from(world.stored()).unwrap_or(u64::MAX),
        );
    });
    Ok(books.with(|ledger, observer| {
        report::of(&report::Found {
            settings,
            ledger,
            observer,
            network: &network,
            work,
            planned,
            present: &present,
            past: &past,
        })
    }))
}

async fn happen(world: &mut World, fault: Fault) -> Result<(), NodeError> {
    match fault {
        Fault::Partition => world.partition(),
        Fault::Heal => world.heal(),
        Fault::Crash(who) => world.crash(who).await,
        Fault::Restart(who) => world.restart(who).await?,
        Fault::Jump(who, ahead) => {
            world.set_clock(who, ahead);
            world.crash(who).await;
        }
        Fault::Stall(who, length) => world.stall(who, length),
        Fault::GoOn(who) => world.goes_on(who),
        Fault::Disk(health) => world.set_disk(health),
        Fault::Decide {
            person,
            phone,
            handling,
        } => world.decide(person, phone, handling),
    }
    Ok(())
}

/// A folder for what simulated nodes write to disk; it goes away with the simulation.
struct Folder(PathBuf);

impl Folder {
    fn new(seed: u64) -> Result<Self, NodeError> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("rollcall-simulate-{}-{seed}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        match std::fs::create_dir(&path) {
            Ok(()) => Ok(Self(path)),
            Err(error) => Err(NodeError::State { path, error }),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What can't be removed is in the folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
