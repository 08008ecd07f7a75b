//! What Linux says of processes and of the machine: CPU time, memory, load that is not ours.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Result;

/// `/proc` counts in hundredths of a second on every architecture that Rust knows a Linux for.
const TICK: Duration = Duration::from_millis(10);
/// From `linux/magic.h`: the file systems that keep nothing on a disk.
const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];

/// User and system time of a process and its threads since it began, as `proc(5)` tells it.
///
/// # Errors
/// When there is no such process (any more).
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    Ok(parse_stat(&stat).ok_or("a /proc/pid/stat of an unknown form")?.1)
}

/// The parent and the CPU time in a line of `/proc/<pid>/stat`.
pub fn parse_stat(stat: &str) -> Option<(u32, Duration)> {
    // The second field is a name in parentheses that may hold spaces and parentheses itself.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u32>().ok()?.checked_add(fields.get(12)?.parse().ok()?)?;
    Some((fields.get(1)?.parse().ok()?, TICK * ticks))
}

/// The CPU time of a process and of its children that it has waited for, in a line of `/proc/<pid>/stat`.
pub fn parse_whole(stat: &str) -> Option<Duration> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let ticks = fields.get(11..15)?.iter().map(|field| field.parse::<u32>().ok()).sum::<Option<u32>>()?;
    Some(TICK * ticks)
}

/// Resident memory of a process, in bytes.
///
/// # Errors
/// When there is no such process (any more).
pub fn resident(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

/// CPU time of this process and of all that it and its children started, those that have ended among them.
fn ours() -> Result<Duration> {
    let mut all: Vec<(u32, u32, Duration)> = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // Processes come and go while we look.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let read = parse_stat(&stat).zip(parse_whole(&stat));
        all.extend(read.map(|((parent, _), time)| (pid, parent, time)));
    }
    let (mut family, mut sum) = (vec![std::process::id()], Duration::ZERO);
    while let Some(member) = family.pop() {
        sum += all.iter().filter(|(pid, ..)| *pid == member).map(|(_, _, time)| *time).sum::<Duration>();
        family.extend(all.iter().filter(|(_, parent, _)| *parent == member).map(|(pid, ..)| *pid));
    }
    Ok(sum)
}

/// The CPU time that all processes used, and that the host took away.
pub fn parse_busy(stat: &str) -> Option<Duration> {
    let numbers = stat.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace();
    let ticks: Vec<u64> = numbers.map(|number| number.parse().ok()).collect::<Option<_>>()?;
    // user, nice, system, steal; not idle, iowait, irq and softirq, which belong to nobody's process.
    let busy = [0, 1, 2, 7].into_iter().map(|index| ticks.get(index).copied().unwrap_or(0)).sum::<u64>();
    Some(TICK * u32::try_from(busy).ok()?)
}

/// Watches over a stretch of time how much of the machine others used.
pub struct Watch {
    since: Instant,
    busy: Duration,
    ours: Duration,
}

impl Watch {
    /// # Errors
    /// When `/proc` can't be read.
    pub fn start() -> Result<Self> {
        let stat = fs::read_to_string("/proc/stat")?;
        let busy = parse_busy(&stat).ok_or("a /proc/stat of an unknown form")?;
        Ok(Self { since: Instant::now(), busy, ours: ours()? })
    }

    /// The share of the machine's CPU (0 to 1) that went to processes not ours since the start.
    ///
    /// # Errors
    /// When `/proc` can't be read.
    pub fn foreign(&self) -> Result<f64> {
        let now = Self::start()?;
        let foreign = (now.busy - self.busy).saturating_sub(now.ours.saturating_sub(self.ours));
        let whole = (now.since - self.since).as_secs_f64() * cores() as f64;
        Ok(foreign.as_secs_f64() / whole)
    }

    /// The share of one core that we and our children used since the start.
    ///
    /// # Errors
    /// When `/proc` can't be read.
    pub fn own(&self) -> Result<f64> {
        let now = Self::start()?;
        Ok(now.ours.saturating_sub(self.ours).as_secs_f64() / (now.since - self.since).as_secs_f64())
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Whether files in `folder` would never reach a disk, so that a sync costs nothing.
///
/// # Errors
/// When the folder can't be asked.
pub fn in_memory(folder: &Path) -> Result<bool> {
    Ok(IN_MEMORY.contains(&(rustix::fs::statfs(folder)?.f_type as i64)))
}

/// Cores, processor and kernel, for the report's head.
pub fn description() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let model = model.map_or("unknown processor", |(_, name)| name);
    format!("{} cores, {model}, Linux {}", cores(), kernel.trim())
}
