//! Whether the store commits, and how long it has room.

use super::ours;
use crate::{
    names,
    rules::{alert::Alert, proof::Proof},
};

const INSTANCE: &[(&str, &str)] = &[("job", "epro-notify"), ("instance", "a:9464")];

pub fn all() -> Vec<Alert> {
    vec![
        store_failing(),
        store_almost_full(),
        store_filling("StoreFillingFast"),
        store_filling("StoreFillingSlowly"),
    ]
}

fn of(name: &str) -> String {
    format!(r#"{name}{{job="epro-notify",instance="a:9464"}}"#)
}

fn store_failing() -> Alert {
    let up = of(names::STORE_UP);
    Alert::page("StoreFailing", "store", format!("{}{{{}}} == 0", names::STORE_UP, ours()))
        .hold("1m")
        .when("the store cannot commit for 1 min", "It is tried every second; a full disk that was cleared, or a lock of some seconds, passes by itself.")
        .says(
            "The store of {{ $labels.instance }} cannot commit",
            "Nothing is accepted at {{ $labels.instance }} (503 store-unavailable), and no delivery begins. `/readyz` says why.",
        )
        .see("store", "service-overview", "Store")
        .proven(
            Proof::new(&[(&up, "1x9 0x9 1x30")], ["9m", "15m", "25m"])
                .labels(INSTANCE)
                .idle(&[(&up, "1x60")])
                .single(&[(&up, "1x9 0 1x40")]),
        )
}

fn store_almost_full() -> Alert {
    let free = of(names::STORE_FREE_BYTES);
    Alert::page("StoreAlmostFull", "store", format!("{}{{{}}} < 1024 * 1024 * 1024", names::STORE_FREE_BYTES, ours()))
        .hold("5m")
        .when("less than 1 GiB free for 5 min", "The size of the disk is not known, so the floor is in bytes: the log beside the file may grow by hundreds of megabytes behind a long reader, and a study's 90,000 jobs take some 100 MB.")
        .says(
            "The disk of the store at {{ $labels.instance }} is almost full",
            "{{ $value | humanize1024 }}B are free. Without room everything is refused with 503.",
        )
        .see("store", "service-overview", "Space left for the store")
        .proven(
            Proof::new(&[(&free, "50000000000x9 536870912x20 50000000000x30")], ["9m", "20m", "40m"])
                .labels(INSTANCE)
                .shown("512Mi")
                .idle(&[(&free, "50000000000x60")]),
        )
}

fn store_filling(name: &'static str) -> Alert {
    let fast = name == "StoreFillingFast";
    let (window, ahead, hold, words) =
        if fast { ("1h", "4 * 3600", "15m", "four hours") } else { ("6h", "3 * 86400", "1h", "three days") };
    let free = format!("{}{{{}}}", names::STORE_FREE_BYTES, ours());
    let expr = format!("{free} and predict_linear({free}[{window}], {ahead}) < 0");
    let series = of(names::STORE_FREE_BYTES);
    let story = if fast {
        "50000000000x60 49600000000-400000000x60 50000000000x300"
    } else {
        "50000000000x360 49980000000-20000000x480 50000000000x800"
    };
    let times = if fast { ["60m", "110m", "400m"] } else { ["360m", "800m", "1300m"] };
    let proof = Proof::new(&[(&series, story)], times)
        .labels(INSTANCE)
        .shown(if fast { "27.94Gi" } else { "38.37Gi" })
        .idle(&[(&series, "50000000000x1600")])
        // One spike of the log, taken back by the next checkpoint.
        .single(&[(&series, "50000000000x100 49900000000 50000000000x1500")]);
    let alert = if fast { Alert::page(name, "store", expr) } else { Alert::ticket(name, "store", expr) };
    alert
        .hold(hold)
        .when(
            &format!("the disk is full within {words} at its present pace"),
            if fast {
                "Four hours: it will not wait for the morning. An hour of history outlasts the log's rise and fall between checkpoints."
            } else {
                "Three days: it will not wait for the end of the week. Six hours of history see more than one study's message."
            },
        )
        .says(
            &format!("The disk of the store at {{{{ $labels.instance }}}} will be full within {words}"),
            "{{ $value | humanize1024 }}B are free, and shrink steadily.",
        )
        .see("store", "service-overview", "Space left for the store")
        .proven(proof)
}
