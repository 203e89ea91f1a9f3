// SPDX-License-Identifier: MIT
use super::{c_path, BaseRef, EventLoop, Kvm, OpenError, Why};
use crate::bus::{text, Bus, BusCore};
use crate::callback::{guard, lock, sized};
use crate::error::check;
use crate::{Error, Guid, Result, ServiceKind};
use hvstack_sys as sys;
use std::ffi::CString;
use std::os::raw::c_void;
use std::path::{Path, PathBuf};
use std::ptr::{null, null_mut};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

/// Who may call a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everybody who may look.
    Inspect,
    /// Who makes backups.
    Backup,
    /// Who operates machines.
    Operate,
    /// Administrators.
    Administer,
}

/// How a call has failed: the codes of docs/management.md, and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    /// `enum hvs_call_error`.
    pub code: i32,
    /// What went wrong.
    pub text: String,
}

impl CallError {
    /// The parameters make no sense.
    pub const INVALID_PARAMS: i32 = sys::HVS_CALL_INVALID_PARAMS;
    /// It could not be done.
    pub const FAILED: i32 = sys::HVS_CALL_FAILED;

    /// With a code and a sentence.
    pub fn new(code: i32, text: impl Into<String>) -> Self {
        CallError { code, text: text.into() }
    }
}

type Run = dyn Fn(Option<&str>) -> std::result::Result<Option<String>, CallError> + Send;

struct Method {
    raw: sys::hvs_method,
    _name: CString,
    run: Box<Run>,
}

unsafe extern "C" fn run(arg: *mut c_void, call: *mut sys::hvs_call) {
    // SAFETY: methods stay as long as the manager.
    let method = unsafe { &*arg.cast::<Method>() };
    let result = guard(|| {
        // SAFETY: valid until the call ends.
        let params = unsafe {
            let params = sys::hvs_call_params(call);
            (!params.is_null()).then(|| text(sys::json_object_to_json_string(params)))
        };
        (method.run)(params)
    });
    let internal = |text| CallError { code: sys::HVS_CALL_INTERNAL, text };
    let result = result.unwrap_or_else(|| Err(internal("the method panicked".into())));
    let object = result.and_then(|json| match json {
        None => Ok(null_mut()),
        Some(json) => {
            let json = CString::new(json).map_err(|_| internal("the answer has a NUL".into()))?;
            // SAFETY: a string.
            let object = unsafe { sys::json_tokener_parse(json.as_ptr()) };
            if object.is_null() {
                return Err(internal("the answer is no JSON".into()));
            }
            Ok(object)
        }
    });
    match object {
        // SAFETY: once; the object becomes the call's.
        Ok(object) => unsafe { sys::hvs_call_return(call, object) },
        Err(err) => {
            let text = CString::new(err.text.replace('\0', " ")).unwrap_or_default();
            // SAFETY: once; a format with one string.
            unsafe { sys::hvs_call_fail(call, err.code, b"%s\0".as_ptr().cast(), text.as_ptr()) };
        }
    }
}

/// What a management server is like.
#[derive(Clone, Debug, Default)]
pub struct ManagerConfig {
    /// Where to listen.
    pub socket: PathBuf,
    /// Name and version of the program.
    pub server: String,
    /// Of the machine, for people.
    pub name: String,
    /// Of the machine.
    pub uuid: Guid,
}

struct Core {
    raw: *mut sys::hvs_manager,
    /// The server has pointers to them.
    #[allow(clippy::vec_box)]
    methods: Mutex<Vec<Box<Method>>>,
    _base: BaseRef,
}

// SAFETY: it moves only with the bus that keeps it, and goes on that bus's thread.
unsafe impl Send for Core {}
unsafe impl Sync for Core {}

// SAFETY: pointers to what it owns.
unsafe impl Send for Method {}

impl Drop for Core {
    fn drop(&mut self) {
        // SAFETY: on the loop's thread; methods go after it.
        unsafe { sys::hvs_manager_destroy(self.raw) };
    }
}

/// The management server: a socket on which programs, such as hvctl, ask about a machine and have
/// things done with it. This process's user and root may do everything, others nothing.
pub struct Manager {
    core: Arc<Core>,
    _on_this_thread: std::marker::PhantomData<*mut ()>,
}

impl Manager {
    /// Listens. [`Error::Invalid`] (the path), `EADDRINUSE`, or what the socket said.
    pub fn new(event_loop: &EventLoop, config: &ManagerConfig) -> Result<Self> {
        let string = |text: &str| CString::new(text).map_err(|_| Error::Invalid);
        let (path, server, name) =
            (c_path(&config.socket)?, string(&config.server)?, string(&config.name)?);
        let mut c = sized!(sys::hvs_manager_config);
        c.base = event_loop.raw();
        c.socket_path = path.as_ptr();
        c.server = server.as_ptr();
        c.name = name.as_ptr();
        c.uuid = config.uuid.to_c();
        let mut raw = null_mut();
        // SAFETY: valid pointers, on the loop's thread.
        check(unsafe { sys::hvs_manager_create(&c, &mut raw) })?;
        let core = Core { raw, methods: Mutex::default(), _base: event_loop.base.clone() };
        Ok(Manager { core: Arc::new(core), _on_this_thread: std::marker::PhantomData })
    }

    /// A method of your own. `run` gets the parameters as JSON text, `None`: there are none; and
    /// returns an object as JSON text, `None`: an empty one. If it panics the call fails.
    ///
    /// [`Error::Exists`] (the name), [`Error::Invalid`] (the name), [`Error::NoMemory`].
    pub fn add_method(
        &self,
        name: &str,
        role: Role,
        method: impl Fn(Option<&str>) -> std::result::Result<Option<String>, CallError> + Send + 'static,
    ) -> Result<()> {
        let name = CString::new(name).map_err(|_| Error::Invalid)?;
        let roles = match role {
            Role::Inspect => sys::HVS_ROLES_INSPECT,
            Role::Backup => sys::HVS_ROLES_BACKUP,
            Role::Operate => sys::HVS_ROLES_OPERATE,
            Role::Administer => sys::HVS_ROLES_ADMINISTER,
        };
        let raw = sys::hvs_method { name: name.as_ptr(), roles, reserved: 0, run: Some(run) };
        let method = Box::new(Method { raw, _name: name, run: Box::new(method) });
        let at: *const Method = &*method;
        // It is kept, whatever happens: freed with the manager.
        lock(&self.core.methods).push(method);
        // SAFETY: it stays where it is as long as the manager.
        check(unsafe {
            sys::hvs_manager_add_methods(self.core.raw, &(*at).raw, 1, at as *mut c_void)
        })
        .map(drop)
    }
}

/// Which services a machine has.
#[derive(Default)]
pub struct ServicesConfig<'a> {
    /// `None`: all but file copy, as Hyper-V.
    pub services: Option<&'a [ServiceKind]>,
    /// For the guest's reference counter.
    pub kvm: Option<&'a Kvm>,
    /// The server that clients ask.
    pub manager: Option<&'a Manager>,
    /// Where key-value pairs are kept; `None`: nowhere.
    pub path: Option<&'a Path>,
    /// Of the machine, which the guest is told; "": it is not.
    pub name: &'a str,
    /// Of the machine.
    pub uuid: Guid,
}

struct ServicesCore {
    raw: *mut sys::hvs_services,
    _manager: Option<Arc<Core>>,
    _base: BaseRef,
}

// SAFETY: it is kept by the bus, on whose thread it is used and goes.
unsafe impl Send for ServicesCore {}
unsafe impl Sync for ServicesCore {}

impl Drop for ServicesCore {
    fn drop(&mut self) {
        // SAFETY: the bus is gone.
        unsafe { sys::hvs_services_destroy(self.raw) };
    }
}

/// All integration services of a machine: offered, with the host's clock, and known to the
/// management server. They stay as long as the bus, and so does the server.
pub struct Services {
    core: Arc<ServicesCore>,
    _bus: Rc<BusCore>,
}

impl Services {
    /// The loop is the one that dispatches the bus. What is wrong is in words, too.
    pub fn new(
        event_loop: &EventLoop,
        bus: &Bus,
        config: &ServicesConfig<'_>,
    ) -> std::result::Result<Self, OpenError> {
        let default = [
            ServiceKind::Heartbeat,
            ServiceKind::Kvp,
            ServiceKind::Shutdown,
            ServiceKind::TimeSync,
            ServiceKind::Vss,
        ];
        let path = config.path.map(c_path).transpose()?;
        let name = CString::new(config.name).map_err(|_| Error::Invalid)?;
        let mut c = sized!(sys::hvs_services_config);
        c.services =
            config.services.unwrap_or(&default).iter().fold(0, |all, k| all | 1 << k.to_c());
        c.base = event_loop.raw();
        c.bus = bus.0.raw();
        c.kvm = config.kvm.map_or(null_mut(), Kvm::raw);
        c.manager = config.manager.map_or(null_mut(), |m| m.core.raw);
        c.path = path.as_ref().map_or(null(), |p| p.as_ptr());
        c.name = if config.name.is_empty() { null() } else { name.as_ptr() };
        c.uuid = config.uuid.to_c();
        let (mut raw, mut why) = (null_mut(), Why::new());
        // SAFETY: valid pointers, on the bus's thread; all that it uses is kept.
        check(unsafe {
            sys::hvs_services_create(&c, why.0.as_mut_ptr().cast(), why.0.len(), &mut raw)
        })
        .map_err(|error| why.error(error))?;
        let core = Arc::new(ServicesCore {
            raw,
            _manager: config.manager.map(|m| m.core.clone()),
            _base: event_loop.base.clone(),
        });
        bus.0.shared.keep.insert(Box::new(core.clone()));
        Ok(Services { core, _bus: bus.0.clone() })
    }

    /// Offers a service, or takes it away. [`Error::Busy`]: it is on its way out.
    pub fn enable(&self, kind: ServiceKind, enabled: bool) -> Result<()> {
        // SAFETY: on the bus's thread.
        check(unsafe { sys::hvs_services_enable(self.core.raw, kind.to_c(), enabled) }).map(drop)
    }

    /// The machine goes on after a pause, or the host's clock was set.
    pub fn time_jumped(&self) {
        // SAFETY: on the bus's thread.
        unsafe { sys::hvs_services_time_jumped(self.core.raw) };
    }
}
