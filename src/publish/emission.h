/*-------------------------------------------------------------------------
 *
 * emission.h
 *	  Events without a table, as logical messages, see emission.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PUBLISH_EMISSION_H
#define DERIVE_PUBLISH_EMISSION_H

#include "utils/uuid.h"

typedef struct Emission
{
	int64 outbox;
	bool has_id;
	pg_uuid_t id;
	char *topic;
	char *key;	   /* or NULL */
	char *payload; /* text of a jsonb, or NULL */
} Emission;

/* Writes an emission to the log, as part of the current transaction. */
extern void derive_emission_send(const Emission *emission, const uint8 *secret);

/* Reads one out of the content of its message; texts stay inside. */
extern void derive_emission_read(const char *content, Emission *emission);

#endif /* DERIVE_PUBLISH_EMISSION_H */
