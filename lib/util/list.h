/* SPDX-License-Identifier: MIT */
/* Intrusive doubly linked list with a sentinel; a node that is in no list points to itself. */
#ifndef HVSI_UTIL_LIST_H
#define HVSI_UTIL_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct hvsi_list {
	struct hvsi_list *next;
	struct hvsi_list *prev;
};

#define hvsi_container_of(ptr, type, member)                                                       \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void hvsi_list_init(struct hvsi_list *l)
{
	l->next = l;
	l->prev = l;
}

/* For a sentinel: nothing in the list. For a node: in no list. */
static inline bool hvsi_list_empty(const struct hvsi_list *l)
{
	return l->next == l;
}

static inline void hvsi_list_append(struct hvsi_list *list, struct hvsi_list *node)
{
	node->prev = list->prev;
	node->next = list;
	list->prev->next = node;
	list->prev = node;
}

static inline void hvsi_list_remove(struct hvsi_list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	hvsi_list_init(node);
}

#endif
