/* SPDX-License-Identifier: BSD-2-Clause */
/* A doubly linked list whose links are embedded in its members. */
#ifndef SOCLE_LIST_H
#define SOCLE_LIST_H

#include "socle/base.h"

struct list {
	struct list *next; /* the head itself when empty */
	struct list *prev; /* likewise */
};

#define LIST_INIT(name)          \
	{                        \
		&(name), &(name) \
	}

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

/* Inserts @item right before @at: at the end of the list if @at is its head. */
static inline void list_add_before(struct list *at, struct list *item)
{
	item->prev = at->prev;
	item->next = at;
	at->prev->next = item;
	at->prev = item;
}

static inline void list_add_tail(struct list *head, struct list *item)
{
	list_add_before(head, item);
}

static inline void list_add_head(struct list *head, struct list *item)
{
	list_add_before(head->next, item);
}

/* Takes @item out and leaves it as an empty list of its own: removing twice is harmless. */
static inline void list_remove(struct list *item)
{
	item->prev->next = item->next;
	item->next->prev = item->prev;
	list_init(item);
}

#define list_entry(ptr, type, member) container_of(ptr, type, member)

#define list_for_each(pos, head, member)                                                       \
	for (pos = list_entry((head)->next, __typeof__(*pos), member); &pos->member != (head); \
	     pos = list_entry(pos->member.next, __typeof__(*pos), member))

/* As list_for_each(), and @pos may be removed in the body. */
#define list_for_each_safe(pos, tmp, head, member)                        \
	for (pos = list_entry((head)->next, __typeof__(*pos), member),    \
	    tmp = list_entry(pos->member.next, __typeof__(*pos), member); \
	     &pos->member != (head);                                      \
	     pos = tmp, tmp = list_entry(pos->member.next, __typeof__(*pos), member))

#endif
