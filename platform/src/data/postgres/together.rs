//! The statements of a read that is sent at once. Each stands ready, prepared, until all that were asked for do; then they
//! leave in one flight, which is one transaction by itself.
use crate::{
    data::{SET_ASIDE, TURN},
    error::{Error, Result},
};
use std::{
    future::poll_fn,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    time::Instant,
};

/// What is wrong with a statement behind the end of its transaction.
const ENDED: &str = "a read that is sent at once asked for more when its answers had come";

#[derive(Default)]
pub(super) struct Together(Mutex<State>);

#[derive(Default)]
struct State {
    asked: usize,
    since: Option<Instant>,
    ready: usize,
    /// How many of those that are ready are statements: the others ask for the opening alone.
    statements: usize,
    left: bool,
    /// How many of the statements have been sent since, and had been when that was looked at last.
    sent: usize,
    seen: usize,
    /// Some were set aside, and are not sent any more.
    given_up: bool,
    waiting: Vec<Waker>,
}

/// How those that may leave get on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// All of them have left, or none may yet.
    Done,
    /// Some have, since this was looked at last.
    Some,
    /// Some are left behind.
    Stuck,
}

/// One that was asked for and has not left; it is none any more when this is dropped.
pub(super) struct Asked<'t> {
    together: &'t Together,
    /// Whether it is ready, and for how many statements it then stands.
    ready: Option<usize>,
}

impl Together {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner) // nothing panics under it
    }

    /// One more, which has to be in time.
    pub fn ask(&self) -> Result<Asked<'_>> {
        let mut state = self.state();
        if state.left {
            return Err(Error::internal(ENDED));
        }
        state.asked += 1;
        state.since.get_or_insert_with(Instant::now);
        Ok(Asked { together: self, ready: None })
    }

    /// Lets them go, if there are any and all of them are ready: how many statements they are. Those that this task polls
    /// itself are not woken: it does so next.
    pub fn leave(&self, task: &Waker) -> Option<usize> {
        let mut state = self.state();
        if state.left || state.ready == 0 || state.ready < state.asked {
            return None;
        }
        state.left = true;
        state.waiting.drain(..).filter(|waiting| !waiting.will_wake(task)).for_each(Waker::wake);
        Some(state.statements)
    }

    /// Whoever waits for one that is never ready, since it was set aside, gives up after a while.
    pub fn expire(&self) {
        let mut state = self.state();
        if !state.left && state.since.is_some_and(|since| since.elapsed() > TURN) {
            state.give_up();
        }
    }

    pub fn sent(&self) {
        self.state().sent += 1;
    }

    /// To be looked at after each poll of whoever has asked: a poll that sends none of those that may leave has set them
    /// aside.
    pub fn progress(&self) -> Progress {
        let mut state = self.state();
        if !state.left || state.given_up || state.sent >= state.statements {
            return Progress::Done;
        }
        if state.sent > state.seen {
            state.seen = state.sent;
            return Progress::Some;
        }
        state.give_up();
        Progress::Stuck
    }
}

impl State {
    fn give_up(&mut self) {
        (self.left, self.given_up) = (true, true);
        self.waiting.drain(..).for_each(Waker::wake);
    }
}

impl Asked<'_> {
    /// Waits until all leave.
    pub async fn stand_ready(mut self, statements: usize) -> Result<()> {
        self.ready = Some(statements);
        {
            let mut state = self.together.state();
            state.ready += 1;
            state.statements += statements;
        }
        poll_fn(|cx| {
            let mut state = self.together.state();
            if state.given_up {
                return Poll::Ready(Err(Error::internal(SET_ASIDE)));
            }
            if state.left {
                return Poll::Ready(Ok(()));
            }
            state.waiting.push(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let mut state = self.together.state();
        if state.left {
            return;
        }
        state.asked -= 1;
        if let Some(statements) = self.ready {
            state.ready -= 1;
            state.statements -= statements;
        }
    }
}
