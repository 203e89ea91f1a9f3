/* SPDX-License-Identifier: MIT */
/*
 * What the files of the network VSP share.
 *
 *   nic.c        public API: NICs              chan.c      a channel: packets in, completions out
 *   nvsp.c       negotiation, buffers, sub-channels, virtual functions
 *   transmit.c   frames from the guest         receive.c   frames to the guest: slots, queues
 *   save.c       saved state
 *   rndis.c      RNDIS control messages: bytes in, bytes out; oid.c: what can be queried and set;
 *                offload.c, rss.c: NDIS' structures for these
 *   frame.c      what the headers of a frame say     checksum.c   segment.c   toeplitz.c
 *   policy.c     what the port lets pass
 *
 * Channels of a NIC may run on different workers; a queue is what the channels of one worker share.
 */
#ifndef HVSI_NETWORK_NETVSP_H
#define HVSI_NETWORK_NETVSP_H

#include <hvstack/channel.h>
#include <hvstack/network.h>

#endif
