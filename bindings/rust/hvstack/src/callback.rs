// SPDX-License-Identifier: MIT
//! What C calls: panics end here, and what C still points to is kept.

use crate::{error, Error, Result};
use std::any::Any;
use std::collections::HashMap;
use std::os::raw::{c_int, c_void};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

/// Runs code of the user's that C has called. `None`: it panicked.
pub(crate) fn guard<R>(f: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => Some(result),
        Err(payload) => {
            // What was thrown may throw when it is dropped.
            if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                std::mem::forget(again);
            }
            None
        }
    }
}

/// The same, for callbacks that return an errno.
pub(crate) fn guard_status(f: impl FnOnce() -> Result<()>) -> c_int {
    error::status(guard(f).unwrap_or(Err(Error::Io)))
}

/// A zeroed struct of C, in which `size` is set.
macro_rules! sized {
    ($of:ty) => {{
        // SAFETY: numbers, pointers and optional functions may be zero.
        let mut value: $of = unsafe { std::mem::zeroed() };
        value.size = std::mem::size_of::<$of>() as u32;
        value
    }};
}
pub(crate) use sized;

/// Locks; a panic elsewhere does not matter to what we lock.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Objects that the library has a pointer to: until it says that it is done with them, or until the
/// bus is gone.
#[derive(Default)]
pub(crate) struct Keep {
    objects: Mutex<Objects>,
}

#[derive(Default)]
struct Objects {
    last: u64,
    by_key: HashMap<u64, Box<dyn Any + Send>>,
}

impl Keep {
    pub fn insert(&self, object: Box<dyn Any + Send>) -> u64 {
        let mut objects = lock(&self.objects);
        objects.last += 1;
        let key = objects.last;
        objects.by_key.insert(key, object);
        key
    }

    pub fn remove(&self, key: u64) -> Option<Box<dyn Any + Send>> {
        lock(&self.objects).by_key.remove(&key)
    }

    pub fn clear(&self) {
        let objects = std::mem::take(&mut lock(&self.objects).by_key);
        guard(|| drop(objects));
    }
}

/// What runs when something has been removed.
pub(crate) type Done = Box<dyn FnOnce(Result<()>) + Send>;

/// The argument of `removed()`.
struct Removal {
    keep: Weak<Keep>,
    key: u64,
    objects: Vec<u64>,
    done: Option<Done>,
}

/// Calls a C function that removes something, with `removed` and its argument. When that runs,
/// `objects` are let go of, and `done` runs.
pub(crate) fn remove(
    keep: &Arc<Keep>,
    objects: Vec<u64>,
    done: Option<Done>,
    call: impl FnOnce(*mut c_void) -> c_int,
) -> Result<()> {
    let mut removal = Box::new(Removal { keep: Arc::downgrade(keep), key: 0, objects, done });
    let raw: *mut Removal = &mut *removal;
    let key = keep.insert(removal);
    // SAFETY: it is in `keep`, and nobody else knows it.
    unsafe { (*raw).key = key };
    let result = error::check(call(raw.cast()));
    if result.is_err() {
        keep.remove(key);
    }
    result.map(drop)
}

/// A `hvs_done_fn`.
pub(crate) unsafe extern "C" fn removed(arg: *mut c_void, status: c_int) {
    guard(|| {
        // SAFETY: as remove() has made it; it is called once.
        let (keep, key) = unsafe {
            let removal = &*arg.cast::<Removal>();
            (removal.keep.upgrade(), removal.key)
        };
        let keep = match keep {
            Some(keep) => keep,
            None => return,
        };
        if let Some(Ok(removal)) = keep.remove(key).map(|o| o.downcast::<Removal>()) {
            for key in &removal.objects {
                guard(|| keep.remove(*key));
            }
            if let Some(done) = removal.done {
                done(error::check(status).map(drop));
            }
        }
    });
}
