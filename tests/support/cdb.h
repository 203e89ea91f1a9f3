/* SPDX-License-Identifier: MIT */
/* SCSI commands as rows of tables: what is sent, what is expected. */
#ifndef TESTS_SUPPORT_CDB_H
#define TESTS_SUPPORT_CDB_H

#include "support/machine.h"

#define SENSE_MEDIUM_READ 0x031100u
#define SENSE_MEDIUM_WRITE 0x030c00u
#define SENSE_TARGET_FAILURE 0x044400u
#define SENSE_LIST_LENGTH 0x051a00u
#define SENSE_OPCODE 0x052000u
#define SENSE_RANGE 0x052100u
#define SENSE_FIELD 0x052400u
#define SENSE_PARAMETER 0x052600u
#define SENSE_PROTECTED 0x072700u
#define SENSE_MISCOMPARE 0x0e1d00u

/* Guest memory of the commands. */
struct cdb_memory {
	uint8_t *p;
	uint64_t gpa;
	uint32_t len;
};

struct cdb_case {
	const char *what;
	uint8_t cdb[16];   /* as long as the opcode says */
	uint8_t direction; /* HVS_GUEST_STOR_* */
	uint32_t len;      /* bytes of the buffer */
	uint32_t sense;    /* 0: GOOD */
	uint32_t transferred;
};

#define CDB_OUT(bytes) .direction = HVS_GUEST_STOR_OUT, .len = (bytes)
#define CDB_IN(bytes) .direction = HVS_GUEST_STOR_IN, .len = (bytes)
#define CDB_NONE .direction = HVS_GUEST_STOR_NONE
#define CDB_GOOD(bytes) .transferred = (bytes)
#define CDB_FAILS(code) .sense = (code)

struct cdb_memory cdb_memory(struct machine *m, uint32_t pages);

/* A command that names blocks, in the form its opcode says. */
struct cdb_case cdb_blocks(uint8_t opcode, uint8_t flags, uint64_t lba, uint32_t blocks);

struct hvs_guest_scsi cdb_command(const struct cdb_memory *mem, const struct cdb_case *c);

/* Do it; the result has to be what the row says, to the last byte. */
struct hvs_guest_scsi_result cdb_expect(struct machine *m, const struct cdb_memory *mem,
					const struct cdb_case *c);
/* All rows. */
void cdb_expect_all(struct machine *m, const struct cdb_memory *mem, const struct cdb_case *cases,
		    size_t count);
#define CDB_EXPECT_ALL(m, mem, cases)                                                              \
	cdb_expect_all(m, mem, cases, sizeof(cases) / sizeof((cases)[0]))

/* Is there a valid INFORMATION field, and what does it say? */
bool cdb_information(const struct hvs_guest_scsi_result *r, uint32_t *value);

#endif
