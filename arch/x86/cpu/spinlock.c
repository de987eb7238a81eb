/* SPDX-License-Identifier: BSD-2-Clause */
/* What a debug build checks of spin locks: the order of taking, the holder, the time. */
#include "socle/cpu/spinlock.h"

#ifdef LOCK_DEBUG
#include "socle/cpu/cpu.h"
#include "socle/cpu/regs.h"
#include "socle/report.h"

uint64_t lock_longest;
const char *lock_longest_name = "none";

void lock_debug_take(struct spinlock *l)
{
	const struct cpu *cpu = this_cpu();

	for (unsigned i = 0; i < cpu->held_count; i++)
		if (cpu->held[i]->level >= l->level)
			panic("lock %s (level %u) taken while %s (level %u) is held", l->name,
			      l->level, cpu->held[i]->name, cpu->held[i]->level);
}

void lock_debug_taken(struct spinlock *l, bool tried)
{
	struct cpu *cpu = this_cpu();

	if (cpu->held_count == ARRAY_SIZE(cpu->held))
		panic("lock %s: more locks held than %zu", l->name, ARRAY_SIZE(cpu->held));
	cpu->held[cpu->held_count++] = l;
	l->since = rdtsc();
}

void lock_debug_release(struct spinlock *l)
{
	struct cpu *cpu = this_cpu();
	uint64_t ticks = rdtsc() - l->since;
	unsigned i = 0;

	while (i < cpu->held_count && cpu->held[i] != l)
		i++;
	if (i == cpu->held_count)
		panic("lock %s released by a CPU that does not hold it", l->name);
	cpu->held[i] = cpu->held[--cpu->held_count];
	/* Two CPUs at once may mix a name with the other's time: it is a hint for people. */
	if (ticks > lock_longest) {
		lock_longest = ticks;
		lock_longest_name = l->name;
	}
}

void lock_debug_none(const char *where)
{
	const struct cpu *cpu = this_cpu();

	if (cpu->held_count)
		panic("%s with lock %s held", where, cpu->held[0]->name);
}
#endif
