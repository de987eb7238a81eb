/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes as an instruction, in any state of the guest: decoded, fetched and emulated. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../arch/x86/guest/insn.c"
#include "../../arch/x86/guest/insn_table.c"
#include "../../arch/x86/guest/emulate.c"
#include "../../arch/x86/guest/emulate_mem.c"
#include "../../arch/x86/guest/emulate_alu.c"
#include "../../arch/x86/guest/emulate_string.c"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

/* The input: the state of the guest, then what memory and ports answer, then the instruction. */
struct input {
	struct x86_state state;	     /* any bits at all */
	uint8_t answer[8];	     /* how each access ends, in turn; see next_status() */
	bool io_checked;	     /* as in struct emul */
	uint8_t bytes[INSN_MAX_LEN]; /* of code */
};

static struct {
	struct emul emul;
	struct input in;
	unsigned calls; /* accesses so far */
} f;

/* Mostly success, sometimes a page fault or worse. */
static enum emul_status next_status(void)
{
	uint8_t answer = f.in.answer[f.calls++ % sizeof(f.in.answer)];

	f.emul.exception = (struct x86_exception){.vector = VEC_PF, .has_error = true};
	return answer < 0xe0 ? EMUL_OK : answer < 0xf8 ? EMUL_EXCEPTION : EMUL_FATAL;
}

static void check_access(uint64_t la, unsigned size)
{
	CHECK(size >= 1 && size <= 8);
	CHECK((la & ~PAGE_MASK) + size <= PAGE_SIZE);
}

static enum emul_status fuzz_read(struct emul *emul, uint64_t la, unsigned size, uint32_t access,
				  uint64_t *value)
{
	check_access(la, size);
	CHECK(emul == &f.emul && !(access & EMUL_WRITE));
	memcpy(value, f.in.answer, sizeof(*value));
	if (access & EMUL_FETCH)
		memcpy(value, f.in.bytes + MIN(la - f.in.state.rip, 7ull), sizeof(*value));
	return next_status();
}

static enum emul_status fuzz_write(struct emul *emul, uint64_t la, unsigned size, uint32_t access,
				   uint64_t value)
{
	check_access(la, size);
	CHECK(emul == &f.emul && (access & EMUL_WRITE));
	CHECK(size == 8 || value >> (8 * size) == 0);
	return next_status();
}

static enum emul_status fuzz_probe(struct emul *emul, uint64_t la, unsigned size, uint32_t access)
{
	check_access(la, size);
	CHECK(emul == &f.emul && (access & EMUL_WRITE));
	return next_status();
}

static enum emul_status fuzz_in(struct emul *emul, uint16_t port, unsigned size, uint32_t *value)
{
	(void)port;
	CHECK(emul == &f.emul && (size == 1 || size == 2 || size == 4));
	memcpy(value, f.in.answer, sizeof(*value));
	return next_status();
}

static enum emul_status fuzz_out(struct emul *emul, uint16_t port, unsigned size, uint32_t value)
{
	(void)port;
	CHECK(emul == &f.emul && (size == 1 || size == 2 || size == 4));
	CHECK(size == 4 || value >> (8 * size) == 0);
	return next_status();
}

static const struct emul_ops fuzz_ops = {.read = fuzz_read,
					 .write = fuzz_write,
					 .probe = fuzz_probe,
					 .in = fuzz_in,
					 .out = fuzz_out};

/* What emulate() promises whatever happens. */
static void check_result(enum emul_status status, const struct x86_state *before,
			 const struct insn *insn)
{
	const struct x86_state *after = &f.in.state;
	bool rep = insn->prefixes & (INSN_PFX_REP | INSN_PFX_REPNE);
	bool string = insn->op >= INSN_MOVS && insn->op <= INSN_OUTS;

	CHECK(status <= EMUL_FATAL);
	CHECK(status != EMUL_AGAIN || (rep && string));
	if (status == EMUL_OK)
		CHECK((uint32_t)(after->rip - before->rip) == insn->len);
	else
		CHECK(after->rip == before->rip);
	if (status == EMUL_UNSUPPORTED || (status == EMUL_EXCEPTION && !(rep && string)))
		CHECK(memcmp(after, before, sizeof(*after)) == 0);
	CHECK(f.calls <= 8 * EMUL_REP_MAX);
	CHECK(((after->rflags ^ before->rflags) & ~(uint64_t)(EMUL_ARITH_FLAGS | RFLAGS_RF)) == 0);
	CHECK(memcmp(after->seg, before->seg, sizeof(after->seg)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct x86_state before;
	struct insn insn, cut;
	enum insn_mode mode;

	/* The instruction comes first in the data, so that short inputs are useful ones. */
	memset(&f, 0, sizeof(f));
	memcpy(f.in.bytes, data, MIN(size, sizeof(f.in.bytes)));
	if (size > sizeof(f.in.bytes)) {
		data += sizeof(f.in.bytes);
		size -= sizeof(f.in.bytes);
		f.in.io_checked = data[0] & 1;
		memcpy((uint8_t *)&f.in, data, MIN(size, offsetof(struct input, io_checked)));
	}
	f.emul.ops = &fuzz_ops;
	f.emul.state = &f.in.state;
	f.emul.io_checked = f.in.io_checked;
	before = f.in.state;
	mode = insn_mode_of(&before);
	for (unsigned len = 0; len <= INSN_MAX_LEN; len++) {
		enum insn_status status = insn_decode(&cut, f.in.bytes, len, mode);

		CHECK(status <= INSN_UNSUPPORTED);
		CHECK(status != INSN_OK || (cut.len <= len && cut.op < INSN_OP_COUNT));
		CHECK(len < INSN_MAX_LEN || status != INSN_MORE);
	}
	(void)!emul_fetch(&f.emul, &insn);
	CHECK(memcmp(&before, &f.in.state, sizeof(before)) == 0);
	if (insn_decode(&insn, f.in.bytes, INSN_MAX_LEN, mode) == INSN_OK) {
		f.calls = 0;
		check_result(emulate(&f.emul, &insn), &before, &insn);
	}
	return 0;
}
