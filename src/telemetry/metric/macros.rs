//! What the list of metrics turns into.

use metrics::Gauge;

/// The type of a metric that is recorded in this way.
macro_rules! kind {
    (one) => {
        Kind::Counter
    };
    (sum) => {
        Kind::Counter
    };
    (held) => {
        Kind::Gauge
    };
    (flag) => {
        Kind::Gauge
    };
    (level) => {
        Kind::Gauge
    };
    (age) => {
        Kind::Gauge
    };
    (time) => {
        Kind::Histogram
    };
    (size) => {
        Kind::Histogram
    };
}

/// The function that records a metric. Labels are `&'static str` here, and so for every caller.
macro_rules! record {
    (one $function:ident($($label:ident)*) $name:literal $help:literal) => {
        #[doc = $help]
        pub fn $function($($label: &'static str),*) {
            metrics::counter!($name $(, stringify!($label) => $label)*).increment(1);
        }
    };
    (sum $function:ident($($label:ident)*) $name:literal $help:literal) => {
        #[doc = $help]
        pub fn $function($($label: &'static str,)* more: u64) {
            metrics::counter!($name $(, stringify!($label) => $label)*).increment(more);
        }
    };
    (held $function:ident($($label:ident)*) $name:literal $help:literal) => {
        #[doc = $help]
        ///
        /// Counts for as long as the returned value is kept.
        pub fn $function($($label: &'static str),*) -> Held {
            Held::new(metrics::gauge!($name $(, stringify!($label) => $label)*))
        }
    };
    (flag $function:ident($($label:ident)*) $name:literal $help:literal) => {
        #[doc = $help]
        pub fn $function($($label: &'static str,)* on: bool) {
            metrics::gauge!($name $(, stringify!($label) => $label)*).set(f64::from(u8::from(on)));
        }
    };
    (level $function:ident($($label:ident)*) $name:literal $help:literal) => {
        #[doc = $help]
        pub fn $function($($label: &'static str,)* value: u32) {
            metrics::gauge!($name $(, stringify!($label) => $label)*).set(f64::from(value));
        }
    };
    (age $function:ident($($label:ident)*) $name:literal $help:literal) => {
        #[doc = $help]
        pub fn $function($($label: &'static str,)* age: Duration) {
            metrics::gauge!($name $(, stringify!($label) => $label)*).set(age.as_secs_f64());
        }
    };
    (time $function:ident($($label:ident)*) $name:literal $help:literal) => {
        #[doc = $help]
        pub fn $function($($label: &'static str,)* time: Duration) {
            metrics::histogram!($name $(, stringify!($label) => $label)*).record(time.as_secs_f64());
        }
    };
    (size $function:ident($($label:ident)*) $name:literal $help:literal) => {
        #[doc = $help]
        pub fn $function($($label: &'static str,)* size: u32) {
            metrics::histogram!($name $(, stringify!($label) => $label)*).record(f64::from(size));
        }
    };
}

/// The buckets of a histogram; of anything else none.
macro_rules! bounds {
    () => {
        &[]
    };
    ($buckets:ident) => {
        buckets::$buckets
    };
}

/// The list itself.
macro_rules! metrics {
    ($(
        $how:ident $function:ident($($label:ident),*) =
            $name:literal, $unit:literal $(/ $buckets:ident)?, $help:literal;
    )*) => {
        /// Every metric, in the order of the README's table.
        pub const ALL: &[Metric] = &[$(Metric {
            name: $name,
            kind: kind!($how),
            unit: $unit,
            labels: &[$(stringify!($label)),*],
            help: $help,
            buckets: bounds!($($buckets)?),
        }),*];

        $(record! { $how $function($($label)*) $name $help })*
    };
}

pub(super) use {bounds, kind, metrics, record};

/// Something that is counted for as long as this value lives.
#[must_use = "it is counted only while this is kept"]
pub struct Held(Gauge);

impl Held {
    pub(super) fn new(gauge: Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
