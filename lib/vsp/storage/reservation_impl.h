/* SPDX-License-Identifier: MIT */
/* Entries and types of reservations: what reservation_state.c and reservation_out.c share. */
#ifndef HVSI_STORAGE_RESERVATION_IMPL_H
#define HVSI_STORAGE_RESERVATION_IMPL_H

#include "vsp/storage/reservation_state.h"

bool hvsi_pr_type_known(uint8_t type);
/* ... - Registrants Only, and those below */
bool hvsi_pr_for_registrants(uint8_t type);
/* ... - All Registrants: each is a holder */
bool hvsi_pr_for_all(uint8_t type);

/* NULL: there is no entry, or it is of somebody who is not registered. */
struct hvsi_pr_entry *hvsi_pr_find(const struct hvsi_pr_state *s, const struct hvs_guid *who);
struct hvsi_pr_entry *hvsi_pr_registrant(const struct hvsi_pr_state *s, const struct hvs_guid *who);
unsigned hvsi_pr_registrants(const struct hvsi_pr_state *s);
bool hvsi_pr_holds(const struct hvsi_pr_state *s, const struct hvs_guid *who);

/* Its entry, maybe a new one; there are fewer than HVSI_PR_REGISTRANTS registrants. */
struct hvsi_pr_entry *hvsi_pr_add(struct hvsi_pr_state *s, const struct hvs_guid *who);
/* The last entry moves to its place. */
void hvsi_pr_remove(struct hvsi_pr_state *s, struct hvsi_pr_entry *e);

#endif
