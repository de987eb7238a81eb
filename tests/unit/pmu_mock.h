/* SPDX-License-Identifier: BSD-2-Clause */
/* Performance counters for tests of other things: none are offered, unless a test offers them. */
#ifndef TESTS_UNIT_PMU_MOCK_H
#define TESTS_UNIT_PMU_MOCK_H

#include "socle/guest/pmu.h"

struct pmu_offer pmu_offer;

#endif
