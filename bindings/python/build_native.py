# SPDX-License-Identifier: MIT
"""What hvstack.loopback needs of libhvstack and libhvstack-guest; the C compiler checks it against
their headers. They are found by pkg-config; or, not installed, in the folder of a CMake build that
HVSTACK_BUILD_DIR names."""

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

from cffi import FFI

CDEF = """
struct hvs_loopback;
struct hvs_guest;
struct hvs_guest_channel;
struct hvs_vmbus;
struct hvs_hv;
struct hvs_device;
struct hvs_channel;
struct hvs_extents;
struct hvs_gpadl;
struct hvs_storvsp;
struct hvs_disk;
struct hvs_state_writer;
struct hvs_state_reader;

struct iovec { void *iov_base; size_t iov_len; };
struct hvs_guid { uint8_t b[16]; };
struct hvs_allocator { ...; };
struct hvs_page_range { uint32_t len; uint32_t offset; };

/* ---- the machine */

#define HVS_LOOPBACK_EXTERNAL_SINTS ...

struct hvs_loopback_config {
    uint32_t size;
    uint32_t flags;
    uint32_t max_version;
    uint32_t max_gpadls;
    uint32_t max_gpadl_pages;
    size_t ram_bytes;
    struct hvs_allocator alloc;
    void (*on_wait)(void *arg, struct hvs_loopback *lb);
    void *arg;
    ...;
};
struct hvs_loopback_counters {
    uint64_t interrupts;
    uint64_t hypercalls;
    uint64_t faults;
    uint32_t last_fault;
    ...;
};
int hvs_loopback_create(const struct hvs_loopback_config *cfg, struct hvs_loopback **out);
void hvs_loopback_destroy(struct hvs_loopback *lb);
struct hvs_vmbus *hvs_loopback_bus(struct hvs_loopback *lb);
struct hvs_hv *hvs_loopback_hv(struct hvs_loopback *lb);
int hvs_loopback_start(struct hvs_loopback *lb, struct hvs_guest **out);
void hvs_loopback_run(struct hvs_loopback *lb);
void hvs_loopback_step(struct hvs_loopback *lb, unsigned budget);
void hvs_loopback_advance(struct hvs_loopback *lb, uint64_t ns);
const struct hvs_loopback_counters *hvs_loopback_count(const struct hvs_loopback *lb);
void *hvs_loopback_alloc_pages(struct hvs_loopback *lb, size_t count, uint64_t *gpa);
void hvs_loopback_free_pages(struct hvs_loopback *lb, void *pages, size_t count);
uint32_t hvs_vmbus_guest_version(const struct hvs_vmbus *bus);
int hvs_hv_msr_read(struct hvs_hv *hv, uint32_t vp, uint32_t msr, uint64_t *value);
int hvs_hv_msr_write(struct hvs_hv *hv, uint32_t vp, uint32_t msr, uint64_t value, bool ring0);
uint64_t hvs_hv_hypercall(struct hvs_hv *hv, uint32_t vp, uint64_t input, uint64_t param_in,
              uint64_t param_out);

/* ---- the guest */

struct hvs_guest_offer {
    struct hvs_guid class_id;
    struct hvs_guid instance_id;
    uint16_t flags;
    uint16_t subchannel;
    uint32_t relid;
    uint32_t connection_id;
    uint8_t user_data[120];
    ...;
};
struct hvs_guest_buffer { uint64_t gpa; uint32_t len; ...; };
struct hvs_guest_packet {
    uint16_t type;
    bool wants_completion;
    uint32_t len;
    uint64_t xid;
    const void *data;
    const struct hvs_page_range *ranges;
    uint32_t range_count;
    uint16_t pageset_id;
    ...;
};
int hvs_guest_connect(struct hvs_guest *g, uint32_t version);
int hvs_guest_unload(struct hvs_guest *g);
int hvs_guest_request_offers(struct hvs_guest *g);
const struct hvs_guest_offer *hvs_guest_offer_at(const struct hvs_guest *g, unsigned index);
int hvs_guest_gpadl_create(struct hvs_guest *g, uint32_t relid, uint64_t gpa, uint32_t len,
               uint32_t *id);
int hvs_guest_gpadl_teardown(struct hvs_guest *g, uint32_t relid, uint32_t id);
int hvs_guest_channel_open(struct hvs_guest *g, const struct hvs_guest_offer *offer,
               uint32_t ring_bytes, struct hvs_guest_channel **out);
int hvs_guest_channel_close(struct hvs_guest_channel *ch);
int hvs_guest_send(struct hvs_guest_channel *ch, uint64_t xid, bool wants_completion,
           const struct hvs_guest_buffer *buffer, const struct iovec *iov, unsigned iovcnt);
int hvs_guest_send_ranges(struct hvs_guest_channel *ch, uint64_t xid, bool wants_completion,
              const struct hvs_guest_buffer *ranges, unsigned range_count,
              const struct iovec *iov, unsigned iovcnt);
int hvs_guest_complete(struct hvs_guest_channel *ch, uint64_t xid, const struct iovec *iov,
               unsigned iovcnt);
void hvs_guest_flush(struct hvs_guest_channel *ch);
int hvs_guest_recv(struct hvs_guest_channel *ch, struct hvs_guest_packet *pkt);
int hvs_guest_recv_wait(struct hvs_guest_channel *ch, struct hvs_guest_packet *pkt);
unsigned hvs_guest_channel_events(struct hvs_guest_channel *ch);
uint16_t hvs_guest_post(struct hvs_guest *g, uint32_t connection_id, const void *msg, size_t len);
int hvs_guest_wait_message(struct hvs_guest *g, uint32_t type, void *buf);
void *hvs_guest_channel_rings(struct hvs_guest_channel *ch, size_t *len);

/* ---- devices */

enum hvs_packet_type {
    HVS_PACKET_INBAND,
    HVS_PACKET_TRANSFER_PAGES,
    HVS_PACKET_GPA_DIRECT,
    HVS_PACKET_COMPLETION,
    ...
};
#define HVS_OFFER_INTERFACE ...
#define HVS_OFFER_PIPE ...
#define HVS_OFFER_SOCKET ...
#define HVS_PAGE_RANGES_MAX ...

struct hvs_open_params {
    uint16_t subchannel;
    uint32_t target_vp;
    uint32_t send_ring_bytes;
    uint32_t recv_ring_bytes;
    uint8_t user_data[120];
    ...;
};
struct hvs_vsp_ops {
    uint32_t size;
    int (*open)(void *dev, struct hvs_channel *ch, const struct hvs_open_params *params,
            void **ctx);
    bool (*ready)(struct hvs_channel *ch, void *ctx, unsigned budget);
    void (*close)(struct hvs_channel *ch, void *ctx);
    void (*destroy)(void *dev);
    void (*timer)(struct hvs_channel *ch, void *ctx);
    ...;
};
struct hvs_offer {
    uint32_t size;
    uint32_t flags;
    struct hvs_guid class_id;
    struct hvs_guid instance_id;
    uint8_t user_data[120];
    uint32_t max_packet_bytes;
    uint16_t max_subchannels;
    ...;
};
struct hvs_packet {
    enum hvs_packet_type type;
    bool wants_completion;
    uint32_t len;
    uint64_t xid;
    const void *data;
    const struct hvs_extents *extents;
    ...;
};
int hvs_device_offer(struct hvs_vmbus *bus, const struct hvs_offer *offer,
             const struct hvs_vsp_ops *ops, void *dev, struct hvs_device **out);
int hvs_device_rescind(struct hvs_device *d, void (*done)(void *arg, int status), void *arg);
int hvs_channel_recv(struct hvs_channel *ch, const struct hvs_packet **pkt);
int hvs_channel_send(struct hvs_channel *ch, uint64_t xid, bool wants_completion,
             const struct iovec *iov, unsigned iovcnt);
int hvs_channel_complete(struct hvs_channel *ch, uint64_t xid, const struct iovec *iov,
             unsigned iovcnt);
int hvs_channel_send_pages(struct hvs_channel *ch, uint64_t xid, bool wants_completion,
               uint16_t pageset_id, const struct hvs_page_range *ranges,
               unsigned range_count, const struct iovec *iov, unsigned iovcnt);
void hvs_channel_flush(struct hvs_channel *ch);
void hvs_channel_kick(struct hvs_channel *ch);
void hvs_channel_set_timer(struct hvs_channel *ch, uint64_t delay_ns);
uint64_t hvs_channel_now(struct hvs_channel *ch);
void hvs_channel_closed(struct hvs_channel *ch);
void hvs_channel_fault(struct hvs_channel *ch, const char *where);
int hvs_channel_offer_subchannels(struct hvs_channel *ch, unsigned count);
uint32_t hvs_channel_id(const struct hvs_channel *ch);
uint32_t hvs_extents_len(const struct hvs_extents *e);
int hvs_extents_read(const struct hvs_extents *e, uint32_t off, void *buf, uint32_t len);
int hvs_extents_write(const struct hvs_extents *e, uint32_t off, const void *buf, uint32_t len);
int hvs_channel_gpadl_get(struct hvs_channel *ch, uint32_t id, struct hvs_gpadl **out);
const struct hvs_extents *hvs_gpadl_extents(const struct hvs_gpadl *g);
void hvs_gpadl_put(struct hvs_gpadl *g);

/* ---- the library's SCSI controller, and its driver */

struct hvs_blk_ops { ...; };
const struct hvs_blk_ops *hvs_memdisk_ops(void);
#define HVS_BLK_INFO_READ_ONLY ...
struct hvs_memdisk {
    uint32_t size;
    uint32_t flags;
    void *data;
    uint64_t len;
    uint32_t block_size;
    ...;
};
struct hvs_storvsp_config {
    uint32_t size;
    uint32_t max_transfer_bytes;
    struct hvs_guid instance_id;
    ...;
};
struct hvs_disk_config {
    uint32_t size;
    uint8_t lun;
    struct hvs_guid disk_id;
    ...;
};
int hvs_storvsp_create(struct hvs_vmbus *bus, const struct hvs_storvsp_config *cfg,
               struct hvs_storvsp **out);
int hvs_storvsp_attach(struct hvs_storvsp *ctl, const struct hvs_disk_config *cfg,
               const struct hvs_blk_ops *ops, void *disk, struct hvs_disk **out);

#define HVS_GUEST_STOR_IN ...
#define HVS_GUEST_STOR_OUT ...
#define HVS_GUEST_STOR_NONE ...
struct hvs_guest_scsi {
    uint8_t lun;
    uint8_t cdb_len;
    uint8_t cdb[16];
    uint8_t direction;
    struct hvs_guest_buffer buffer;
    ...;
};
struct hvs_guest_scsi_result {
    uint8_t srb_status;
    uint8_t scsi_status;
    uint8_t sense_len;
    uint8_t sense[20];
    uint32_t transferred;
    ...;
};
int hvs_guest_stor_init(struct hvs_guest_channel *ch, uint16_t version,
            uint32_t *max_transfer_bytes);
int hvs_guest_stor_execute(struct hvs_guest_channel *ch, const struct hvs_guest_scsi *cmd,
               struct hvs_guest_scsi_result *result);

enum hvs_fault_code { HVS_FAULT_NONE, ... };
const char *hvs_fault_name(enum hvs_fault_code code);
uint32_t hvs_version(void);

/* ---- ours */

struct hvspy_ram { char *bytes; size_t len; bool taken; };
void hvspy_allocator(struct hvspy_ram *ram, struct hvs_allocator *out);

extern "Python" {
    int hvspy_open(void *dev, struct hvs_channel *ch, const struct hvs_open_params *params,
               void **ctx);
    bool hvspy_ready(struct hvs_channel *ch, void *ctx, unsigned budget);
    void hvspy_close(struct hvs_channel *ch, void *ctx);
    void hvspy_destroy(void *dev);
    void hvspy_timer(struct hvs_channel *ch, void *ctx);
    void hvspy_on_wait(void *arg, struct hvs_loopback *lb);
}
"""

SOURCE = """
#include <hvstack/guest/loopback.h>
#include <hvstack/guest/storage.h>
#include <hvstack/hvstack.h>
#include <stdlib.h>

/*
 * The RAM of a machine belongs to Python, which may keep views of it longer than there is a
 * machine; everything else is malloc's.
 */
struct hvspy_ram {
    char *bytes;
    size_t len;
    bool taken;
};

static void *hvspy_alloc(void *arg, size_t len)
{
    struct hvspy_ram *ram = arg;

    if (len != ram->len || ram->taken)
        return calloc(1, len);
    ram->taken = true;
    return ram->bytes;
}

static void hvspy_free(void *arg, void *p, size_t len)
{
    (void)len;
    if (p != ((struct hvspy_ram *)arg)->bytes)
        free(p);
}

static void hvspy_allocator(struct hvspy_ram *ram, struct hvs_allocator *out)
{
    *out = (struct hvs_allocator){.alloc = hvspy_alloc, .free = hvspy_free, .arg = ram};
}
"""

LIBRARIES = ["hvstack-guest", "hvstack"]


def flags() -> dict[str, Any]:
    build_dir = os.environ.get("HVSTACK_BUILD_DIR")
    if build_dir:
        libraries = str(Path(build_dir).resolve() / "lib")
        cache = (Path(build_dir) / "CMakeCache.txt").read_text()
        (source,) = re.findall(r"^CMAKE_HOME_DIRECTORY:INTERNAL=(.*)$", cache, re.MULTILINE)
        return {
            "include_dirs": [f"{source}/include"],
            "library_dirs": [libraries],
            "runtime_library_dirs": [libraries],
            "libraries": LIBRARIES,
        }
    said = subprocess.run(
        ["pkg-config", "--cflags", "--libs", *LIBRARIES], check=True, stdout=subprocess.PIPE
    )
    words = shlex.split(said.stdout.decode())
    compiling = [word for word in words if word.startswith(("-I", "-D"))]
    return {
        "extra_compile_args": compiling,
        "extra_link_args": [word for word in words if word not in compiling],
    }


ffi = FFI()
ffi.cdef(CDEF)
ffi.set_source("hvstack._native", SOURCE, **flags())
