/* SPDX-License-Identifier: BSD-2-Clause */
/* The MC146818 real-time clock with 128 bytes of CMOS memory. */
#ifndef SOCLE_PLATFORM_RTC_H
#define SOCLE_PLATFORM_RTC_H

#include "socle/base.h"
#include "socle/status.h"
#include "socle/kernel/config.h"
#include "socle/kernel/iobus.h"
#include "socle/kernel/time.h"

#define RTC_CMOS_SIZE 128

struct board;

struct rtc {
	uint8_t cmos[RTC_CMOS_SIZE]; /* the registers themselves, enum rtc_register */
	uint8_t index;		     /* selected by port 0x70 */
	bool irq;		     /* line as last driven */
	uint64_t now;		     /* time of the last look; other CPUs' may be a little behind */
	uint64_t phase;		     /* ns, added to @now for the divider chain; wraps */
	uint64_t updated;	     /* second of the divider chain that the registers show */
	uint64_t periodic;	     /* 32768 Hz tick up to which PF has been accounted */
	struct board *board;	     /* owner, for IRQ 8 */
	struct timer timer;	     /* next enabled interrupt; armed only when there is one */
	struct io_region region;     /* ports 0x70 and 0x71 */
};

/* Puts the clock on @bus and sets it to time_wall(). It is not yet reset. */
status_t __must_check rtc_init(struct rtc *rtc, struct io_bus *bus, struct board *board);

/*
 * State after a reset: interrupts off, BCD and 24 hours. The time and the memory are battery-backed
 * and stay, but for the memory sizes, which follow from @settings.
 */
void rtc_reset(struct rtc *rtc, const struct vm_settings *settings);

#endif
