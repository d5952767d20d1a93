//! Stands for the dispatcher of a cluster in a build without NATS.

use std::{convert::Infallible, sync::Arc};

use super::nats::Nats;
use crate::{
    config::{Cluster, Config},
    courier::context::Context,
    delivery::{Delivery, lane::Place},
    hook::{Hook, HookId, index::Index},
    postgres::TableName,
};

/// Hands deliveries to senders, of which there are none.
pub struct Dispatcher(Infallible);

impl Dispatcher {
    pub(super) fn start(_: &Config, _: &Cluster, nats: Nats, _: Arc<Context>) -> Self {
        match nats.0 {}
    }

    pub(super) fn begin(&mut self) {
        match self.0 {}
    }

    pub(super) fn hand(&mut self, _: &Arc<Hook>, _: Delivery) {
        match self.0 {}
    }

    pub(super) fn update(&mut self, _: &Arc<Hook>) {
        match self.0 {}
    }

    pub(super) fn deactivate(&mut self, _: &HookId) {
        match self.0 {}
    }

    pub(super) fn revive(&mut self, _: &HookId, _: Option<&Arc<Hook>>, _: Place) {
        match self.0 {}
    }

    pub(super) fn poll_table(&mut self, _: &HookId) {
        match self.0 {}
    }

    pub(super) fn poll_all(&mut self) {
        match self.0 {}
    }

    pub(super) fn leave_out_forgotten(&mut self) {
        match self.0 {}
    }

    pub(super) fn follow_hook_table(&mut self, _: &TableName) {
        match self.0 {}
    }

    pub(super) fn relieve_memory(&mut self) {
        match self.0 {}
    }

    pub(super) fn asked(&self) -> impl Future<Output = ()> + Send + use<> {
        match self.0 {}
        #[expect(unreachable_code, reason = "it says which future there would be")]
        std::future::ready(())
    }

    pub(super) fn answer(&mut self, _: &Index) {
        match self.0 {}
    }
}
