/* SPDX-License-Identifier: MIT */
/* Everything of the core library (pkg-config hvstack). */
#ifndef HVSTACK_HVSTACK_H
#define HVSTACK_HVSTACK_H

#include <hvstack/backend.h>
#include <hvstack/blockdev.h>
#include <hvstack/channel.h>
#include <hvstack/filecopy.h>
#include <hvstack/guestos.h>
#include <hvstack/hv.h>
#include <hvstack/ic.h>
#include <hvstack/kvp.h>
#include <hvstack/memory.h>
#include <hvstack/network.h>
#include <hvstack/port.h>
#include <hvstack/reservation.h>
#include <hvstack/state.h>
#include <hvstack/stats.h>
#include <hvstack/storage.h>
#include <hvstack/types.h>
#include <hvstack/version.h>
#include <hvstack/vmbus.h>
#include <hvstack/vss.h>
#include <hvstack/worker.h>

#endif
