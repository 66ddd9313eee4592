//! One file per command.

pub(crate) mod check;
pub(crate) mod dead_letters;
pub(crate) mod keystore;
pub(crate) mod lag;
pub(crate) mod ledger;
pub(crate) mod queue;
pub(crate) mod reload;
pub(crate) mod run;
pub(crate) mod search;
pub(crate) mod tap;
pub(crate) mod test;
pub(crate) mod top;
pub(crate) mod topics;
pub(crate) mod ui;
pub(crate) mod up;
