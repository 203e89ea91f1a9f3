/* SPDX-License-Identifier: MIT */
/* The host says which versions it knows, in ascending order as old guests count places in the list;
 * the guest answers with one of the framework and one of the service. */
#include "ic/service.h"

#include <string.h>

static const uint32_t framework[] = {HVSI_IC_FRAMEWORK_1, HVSI_IC_FRAMEWORK_3};
#define FRAMEWORK_COUNT (sizeof(framework) / sizeof(framework[0]))

static uint32_t offered_count(const struct hvsi_ic_class *class, uint32_t max_version)
{
	uint32_t n = class->version_count;

	while (n > 1 && class->versions[n - 1] > max_version)
		n--;
	return n;
}

uint32_t hvsi_ic_newest(const struct hvsi_ic_class *class, uint32_t max_version)
{
	return class->versions[offered_count(class, max_version) - 1];
}

uint32_t hvsi_ic_negotiation_build(const struct hvsi_ic_class *class, uint32_t max_version,
				   uint8_t *body)
{
	const uint32_t count = offered_count(class, max_version);
	const struct hvsi_ic_negotiation head = {
		.framework_count = hvsi_le16(FRAMEWORK_COUNT),
		.service_count = hvsi_le16((uint16_t)count),
	};
	uint8_t *p = body;
	struct hvsi_ic_version v;

	memcpy(p, &head, sizeof(head));
	p += sizeof(head);
	for (size_t i = 0; i < FRAMEWORK_COUNT; i++, p += sizeof(v)) {
		v = hvsi_ic_version(framework[i]);
		memcpy(p, &v, sizeof(v));
	}
	for (uint32_t i = 0; i < count; i++, p += sizeof(v)) {
		v = hvsi_ic_version(class->versions[i]);
		memcpy(p, &v, sizeof(v));
	}
	return (uint32_t)(p - body);
}

static bool listed(const uint32_t *versions, size_t count, uint32_t version)
{
	for (size_t i = 0; i < count; i++)
		if (versions[i] == version)
			return true;
	return false;
}

bool hvsi_ic_negotiation_parse(const struct hvsi_ic_class *class, uint32_t max_version,
			       const uint8_t *body, uint32_t len, uint32_t *framework_version,
			       uint32_t *version)
{
	struct hvsi_ic_negotiation head;
	struct hvsi_ic_version v[2];

	if (len < sizeof(head) + sizeof(v))
		return false;
	memcpy(&head, body, sizeof(head));
	memcpy(v, body + sizeof(head), sizeof(v));
	*framework_version = hvsi_ic_get_version(v[0]);
	*version = hvsi_ic_get_version(v[1]);
	return hvsi_get16(head.framework_count) == 1 && hvsi_get16(head.service_count) == 1 &&
	       listed(framework, FRAMEWORK_COUNT, *framework_version) &&
	       listed(class->versions, offered_count(class, max_version), *version);
}
