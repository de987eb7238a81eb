/* SPDX-License-Identifier: BSD-2-Clause */
/* The CPUs' stocks of free memory: between frames.c, which hands it out, and the pool. */
#ifndef MM_STOCK_H
#define MM_STOCK_H

#include "pool.h"

/* All empty, and not to be used. */
void stocks_init(void);

/*
 * One page, @count pages in a row, or one block: from this CPU's stock, the pool, or the stocks of
 * others; maybe with POOL_DIRTY. 0: really nobody has any.
 */
uint64_t stock_take_page(void);
uint64_t stock_take_run(unsigned count);
uint64_t stock_take_block(void);

/* A zeroed page. */
void stock_put_page(uint64_t pa);

/* What is in all stocks: each CPU's as it is when it is looked at. */
struct pool_count stock_count(void);

#endif
