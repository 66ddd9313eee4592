//! Output `pipeline`: gives events to other pipelines of this program. They count as delivered when
//! those have them delivered, or on disk in their queues.

use super::{Delivery, Letter, Output, OutputError, Refused, WRITE_WAIT_MAX};
use crate::run::bus::{Bus, Sender};
use event::{Batch, Share};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Options of the output `pipeline`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The addresses of inputs `pipeline`; each gets all events.
    pub send_to: Vec<String>,
}

/// The output.
pub struct PipelineOutput {
    senders: Vec<Sender>,
    flight: Arc<Mutex<Flight>>,
    /// Of the batch that is made of another one.
    record: Vec<u8>,
}

/// What was given, and is not settled.
#[derive(Default)]
struct Flight {
    batches: VecDeque<Given>,
    /// The number of the next batch.
    next: u64,
    /// The sequence behind everything that was written.
    end: u64,
    is_lost: bool,
}

struct Given {
    number: u64,
    /// The sequence of its first event.
    begin: u64,
    is_done: bool,
}

impl Config {
    /// Checks the options; an error names the option.
    pub fn check(&self) -> Result<(), String> {
        if self.send_to.is_empty() || self.send_to.iter().any(String::is_empty) {
            return Err("option \"send_to\": at least one address, and none without a name".to_owned());
        }
        let distinct: std::collections::BTreeSet<&String> = self.send_to.iter().collect();
        if distinct.len() != self.send_to.len() {
            return Err("option \"send_to\": an address stands twice".to_owned());
        }
        Ok(())
    }

    /// The output that these options describe.
    pub fn build(&self, bus: &Bus) -> Result<PipelineOutput, String> {
        self.check()?;
        let senders = self.send_to.iter().map(|address| bus.sender(address)).collect();
        Ok(PipelineOutput { senders, flight: Arc::default(), record: Vec::new() })
    }
}

impl PipelineOutput {
    fn flight(&self) -> MutexGuard<'_, Flight> {
        self.flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The events that are for this output, as a batch of their own.
    fn copy(&mut self, delivery: &Delivery<'_>) -> Result<Batch, OutputError> {
        let broken = |error: event::RecordError| OutputError::Server(error.to_string());
        self.record.clear();
        delivery.batch.encode(&mut self.record);
        let mut batch = Batch::new();
        batch.decode(&self.record).map_err(broken)?;
        let mut has_others = false;
        batch.each(|event| {
            if event.outputs() & delivery.bit == 0 {
                has_others = true;
                event.drop_event();
            } else {
                event.set_outputs(!0);
            }
        });
        if has_others {
            // What is for others is not to be counted as dropped there.
            self.record.clear();
            batch.encode(&mut self.record);
            batch.decode(&self.record).map_err(broken)?;
        }
        Ok(batch)
    }
}

impl Output for PipelineOutput {
    fn write(&mut self, delivery: &Delivery<'_>, _refused: &mut Vec<Refused>) -> Result<(), OutputError> {
        let (kept, _) = delivery.batch.kept_and_dropped();
        let end = delivery.sequence + kept as u64;
        if delivery.events().next().is_none() {
            self.flight().end = end;
            return Ok(());
        }
        if !self.senders.iter().all(|sender| sender.wait_for_room(WRITE_WAIT_MAX)) {
            return Err(OutputError::Full);
        }
        let batch = self.copy(delivery)?;
        let number = {
            let mut flight = self.flight();
            let number = flight.next;
            flight.next += 1;
            flight.end = end;
            flight.batches.push_back(Given { number, begin: delivery.sequence, is_done: false });
            number
        };
        let flight = self.flight.clone();
        let share = Share::new(move |is_done| {
            let mut flight = flight.lock().unwrap_or_else(PoisonError::into_inner);
            let found = flight.batches.iter_mut().find(|given| given.number == number);
            // Of what is given again, nobody waits for the first time any more.
            if let Some(given) = found {
                given.is_done = is_done;
                flight.is_lost |= !is_done;
            }
        });
        let (last, others) = self.senders.split_last().ok_or(OutputError::Full)?;
        for sender in others {
            let mut copy = Batch::new();
            let mut record = Vec::new();
            batch.encode(&mut record);
            copy.decode(&record).map_err(|error| OutputError::Lost(error.to_string()))?;
            copy.acks.push(share.clone());
            sender.give(copy);
        }
        let mut batch = batch;
        batch.acks.push(share);
        last.give(batch);
        Ok(())
    }

    fn settled(&mut self, _idle: bool, _refused: &mut Vec<Letter>) -> Result<u64, OutputError> {
        let mut flight = self.flight();
        if flight.is_lost {
            flight.is_lost = false;
            flight.batches.clear();
            return Err(OutputError::Lost("the pipeline gave events back; they are sent again".to_owned()));
        }
        while flight.batches.front().is_some_and(|given| given.is_done) {
            flight.batches.pop_front();
        }
        Ok(flight.batches.front().map_or(flight.end, |given| given.begin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::bus::Taken;
    use std::time::Duration;

    fn batch(bits: &[u64]) -> Batch {
        let mut batch = crate::outputs::testing::batch((0..bits.len()).map(|n| format!("{{\"n\":{n}}}")));
        for (n, bits) in bits.iter().enumerate() {
            batch.event_mut(n).set_outputs(*bits);
        }
        batch
    }

    #[test]
    fn each_address_gets_what_is_for_it_and_all_must_be_done() {
        let bus = Bus::default();
        let config = Config { send_to: vec!["a".to_owned(), "b".to_owned()] };
        let receivers = [bus.receiver("a"), bus.receiver("b")];
        let mut output = config.build(&bus).unwrap();
        let given = batch(&[1, 2, 3]);
        let delivery = Delivery { batch: &given, bit: 1, sequence: 10 };
        output.write(&delivery, &mut Vec::new()).unwrap();
        assert_eq!(output.settled(false, &mut Vec::new()).unwrap(), 10);
        for (n, receiver) in receivers.iter().enumerate() {
            let Taken::Batch(mut taken) = receiver.take(Duration::ZERO) else { panic!("a batch") };
            let found: Vec<_> = taken.events().map(|event| (event.position(), event.outputs())).collect();
            assert_eq!(found, [(0, !0), (2, !0)]);
            assert_eq!(taken.kept_and_dropped(), (2, 0));
            taken.acks.done();
            assert_eq!(output.settled(false, &mut Vec::new()).unwrap(), if n == 0 { 10 } else { 13 });
        }
        // Events of others pass by.
        let others = batch(&[2]);
        output.write(&Delivery { batch: &others, bit: 1, sequence: 13 }, &mut Vec::new()).unwrap();
        assert_eq!(output.settled(false, &mut Vec::new()).unwrap(), 14);
        assert!(matches!(receivers[0].take(Duration::ZERO), Taken::Nothing));
    }

    #[test]
    fn what_is_given_back_is_lost_and_what_finds_no_room_waits() {
        let bus = Bus::default();
        let receiver = bus.receiver("a");
        let mut output = Config { send_to: vec!["a".to_owned()] }.build(&bus).unwrap();
        let given = batch(&[1]);
        let write = |output: &mut PipelineOutput, sequence| {
            output.write(&Delivery { batch: &given, bit: 1, sequence }, &mut Vec::new())
        };
        write(&mut output, 0).unwrap();
        write(&mut output, 1).unwrap();
        assert!(matches!(write(&mut output, 2), Err(OutputError::Full)));
        drop(receiver.take(Duration::ZERO));
        assert!(matches!(output.settled(false, &mut Vec::new()), Err(OutputError::Lost(_))));
        // What comes of the second is of no interest any more.
        let Taken::Batch(mut second) = receiver.take(Duration::ZERO) else { panic!("a batch") };
        write(&mut output, 0).unwrap();
        second.acks.done();
        assert_eq!(output.settled(false, &mut Vec::new()).unwrap(), 0);
        let Taken::Batch(mut again) = receiver.take(Duration::ZERO) else { panic!("a batch") };
        again.acks.done();
        assert_eq!(output.settled(false, &mut Vec::new()).unwrap(), 1);
    }
}
