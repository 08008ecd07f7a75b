//! What proves an alert: input series as `promtool test rules` writes them, and when the alert fires on them.

/// Series with their values, as `("store_up{…}", "1x9 0x9")`.
pub type Series = Vec<(String, String)>;

/// A case that an alert of this kind does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inapplicable {
    /// It is about a state, not about events that are few or many.
    State,
    /// One event is what it is about.
    OneIsEnough,
    /// It fires always.
    Always,
}

/// A story with three acts: quiet, firing, over.
#[derive(Clone)]
pub struct Story {
    pub series: Series,
    pub quiet: Option<&'static str>,
    pub fires: &'static str,
    pub over: Option<&'static str>,
}

/// The five cases of an alert.
#[derive(Clone)]
pub struct Proof {
    /// Time between two samples.
    pub interval: &'static str,
    /// Time between two evaluations.
    pub evaluated: &'static str,
    pub stories: Vec<Story>,
    /// Labels of the alert that fires, besides those that the rule adds.
    pub labels: Vec<(&'static str, String)>,
    /// How the value is shown in the description, for each story.
    pub shown: Vec<&'static str>,
    /// Everything up, and nothing to do.
    pub idle: Series,
    /// One failure where there is little traffic, or why there is no such case.
    pub single: Result<Series, Inapplicable>,
    /// When it has to be quiet in the case of one failure, besides the story's own times.
    pub single_asked: Vec<&'static str>,
}

/// Series out of their texts.
pub fn series(all: &[(&str, &str)]) -> Series {
    all.iter().map(|(name, values)| ((*name).to_owned(), (*values).to_owned())).collect()
}

impl Proof {
    /// One story, at a sample and an evaluation a minute.
    pub fn new(story: &[(&str, &str)], [quiet, fires, over]: [&'static str; 3]) -> Self {
        let story = Story { series: series(story), quiet: Some(quiet), fires, over: Some(over) };
        Self {
            interval: "1m",
            evaluated: "1m",
            stories: vec![story],
            labels: Vec::new(),
            shown: vec![""],
            idle: Vec::new(),
            single: Err(Inapplicable::State),
            single_asked: Vec::new(),
        }
    }

    pub fn labels(mut self, labels: &[(&'static str, &str)]) -> Self {
        self.labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self
    }

    pub fn shown(mut self, value: &'static str) -> Self {
        self.shown = vec![value];
        self
    }

    pub fn idle(mut self, idle: &[(&str, &str)]) -> Self {
        self.idle = series(idle);
        self
    }

    pub fn single(mut self, single: &[(&str, &str)]) -> Self {
        self.single = Ok(series(single));
        self
    }

    pub fn no_single(mut self, why: Inapplicable) -> Self {
        self.single = Err(why);
        self
    }
}
