//! `rowhook demo`: the main job on a throwaway Postgres, told live in the terminal.

pub mod cluster;
