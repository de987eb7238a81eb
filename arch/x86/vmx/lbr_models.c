/* SPDX-License-Identifier: BSD-2-Clause */
/* Which model of Intel's has which stack of last branch records (SDM vol. 3, 18.5 to 18.12). */
#include "lbr.h"
#include "socle/cpu/regs.h"

enum { FAMILY_6 = 6 };

static const struct lbr_stack silvermont = {
	.depth = 8, .from = MSR_LBR_FROM_ATOM, .to = MSR_LBR_TO_ATOM, .select = MSR_LBR_SELECT,
	.tos = MSR_LBR_TOS,
};
static const struct lbr_stack westmere = {
	.depth = 16, .from = MSR_LBR_FROM, .to = MSR_LBR_TO, .select = MSR_LBR_SELECT,
	.tos = MSR_LBR_TOS,
};
static const struct lbr_stack goldmont = {
	.depth = 32, .from = MSR_LBR_FROM, .to = MSR_LBR_TO, .select = MSR_LBR_SELECT,
	.tos = MSR_LBR_TOS,
};
static const struct lbr_stack skylake = {
	.depth = 32, .from = MSR_LBR_FROM, .to = MSR_LBR_TO, .info = MSR_LBR_INFO,
	.select = MSR_LBR_SELECT, .tos = MSR_LBR_TOS,
};

/* Older ones cannot run unrestricted guests, which we need. */
static const struct {
	uint8_t model;
	const struct lbr_stack *stack;
} models[] = {
	{0x25, &westmere},   {0x2c, &westmere},	  {0x2f, &westmere},   /* Westmere */
	{0x2a, &westmere},   {0x2d, &westmere},			       /* Sandy Bridge */
	{0x3a, &westmere},   {0x3e, &westmere},			       /* Ivy Bridge */
	{0x3c, &westmere},   {0x3f, &westmere},	  {0x45, &westmere},   /* Haswell */
	{0x46, &westmere},
	{0x3d, &westmere},   {0x47, &westmere},	  {0x4f, &westmere},   /* Broadwell */
	{0x56, &westmere},
	{0x4e, &skylake},    {0x5e, &skylake},	  {0x55, &skylake},    /* Skylake */
	{0x8e, &skylake},    {0x9e, &skylake},			       /* Kaby Lake, Coffee Lake */
	{0xa5, &skylake},    {0xa6, &skylake},			       /* Comet Lake */
	{0x66, &skylake},					       /* Cannon Lake */
	{0x7d, &skylake},    {0x7e, &skylake},	  {0x6a, &skylake},    /* Ice Lake */
	{0x6c, &skylake},
	{0x8c, &skylake},    {0x8d, &skylake},			       /* Tiger Lake */
	{0xa7, &skylake},					       /* Rocket Lake */
	{0x37, &silvermont}, {0x4a, &silvermont}, {0x4d, &silvermont}, /* Silvermont */
	{0x5a, &silvermont}, {0x5d, &silvermont}, {0x4c, &silvermont}, /* and Airmont */
	{0x5c, &goldmont},   {0x5f, &goldmont},			       /* Goldmont */
	{0x7a, &skylake},					       /* Goldmont Plus */
	{0x86, &skylake},    {0x96, &skylake},	  {0x9c, &skylake},    /* Tremont */
};

const struct lbr_stack *lbr_stack_of_model(unsigned family, unsigned model)
{
	for (unsigned i = 0; family == FAMILY_6 && i < ARRAY_SIZE(models); i++)
		if (models[i].model == model)
			return models[i].stack;
	return NULL;
}
