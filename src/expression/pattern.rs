//! Patterns of `matches`. They are compiled with the expression and searched for within bounds.
//!
//! A search builds an automaton as it goes, which takes one step for each byte. A text for which that grows too large
//! is searched by a slower way, whose steps are known before.

use regex_automata::{
    Input,
    hybrid::dfa::{Cache, Config, DFA},
    nfa::thompson::{self, NFA, WhichCaptures, pikevm::PikeVM},
};

use super::fuel::{Fuel, Halt};

/// The most bytes of all patterns of an expression, compiled.
pub(super) const BYTES: usize = 256 << 10;
/// The most bytes that the automaton of a search may grow to.
const CACHE: usize = 64 << 10;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    lazy: Option<DFA>,
    slow: PikeVM,
    states: u64,
}

/// What the searches of one evaluation for a pattern have in common.
#[derive(Debug, Default)]
pub(super) struct Searches {
    cache: Option<Cache>,
    /// The automaton has grown too large.
    slow: bool,
}

impl Pattern {
    /// Compiles a pattern that may take `bytes`. Returns it with the bytes that it takes.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(super) fn compile(text: &str, bytes: usize) -> Result<(Self, usize), String> {
        let refused = |error: &dyn std::fmt::Display| format!("the pattern {text:?}: {error}");
        let config = thompson::Config::new()
            .nfa_size_limit(Some(bytes))
            .which_captures(WhichCaptures::Implicit);
        let nfa = NFA::compiler().configure(config).build(text);
        let nfa = nfa.map_err(|error| match error.size_limit() {
            Some(_) => refused(&format_args!(
                "the patterns of an expression take more than {} KiB",
                BYTES >> 10
            )),
            None => refused(&std::error::Error::source(&error).unwrap_or(&error)),
        })?;
        let config = Config::new()
            .unicode_word_boundary(true)
            .cache_capacity(CACHE)
            .minimum_cache_clear_count(Some(0));
        let lazy = DFA::builder().configure(config).build_from_nfa(nfa.clone());
        let taken = nfa.memory_usage();
        let states = nfa.states().len() as u64;
        let slow = PikeVM::new_from_nfa(nfa).map_err(|error| refused(&error))?;
        let pattern = Self {
            // A pattern that is too large for the automaton is searched by the slower way alone.
            lazy: lazy.ok(),
            slow,
            states,
        };
        Ok((pattern, taken))
    }

    /// Is the pattern found in the text?
    ///
    /// # Errors
    /// When the search takes too much.
    pub(super) fn is_in(
        &self,
        text: &str,
        searches: &mut Searches,
        fuel: &Fuel,
    ) -> Result<bool, Halt> {
        fuel.spend(20)?;
        let input = Input::new(text).earliest(true);
        if let (Some(lazy), false) = (&self.lazy, searches.slow) {
            let cache = match &mut searches.cache {
                Some(cache) => cache,
                empty => {
                    let cache = lazy.create_cache();
                    fuel.make(cache.memory_usage())?;
                    empty.insert(cache)
                }
            };
            fuel.spend(text.len() as u64 / 16)?;
            let before = cache.memory_usage();
            let found = lazy.try_search_fwd(cache, &input);
            // What it grew by took the more steps, the larger the pattern.
            let grown = cache.memory_usage().saturating_sub(before);
            fuel.spend(grown as u64 * self.states / 64)?;
            fuel.make(grown)?;
            match found {
                Ok(found) => return Ok(found.is_some()),
                Err(_) => searches.slow = true,
            }
        }
        let steps = (text.len() as u64 + 1).saturating_mul(self.states) / 4;
        fuel.spend(steps)?;
        let mut cache = self.slow.create_cache();
        fuel.make(cache.memory_usage())?;
        Ok(self.slow.is_match(&mut cache, input))
    }
}
