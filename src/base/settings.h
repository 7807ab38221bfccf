/*-------------------------------------------------------------------------
 *
 * settings.h
 *	  The settings of pg_derive (prefix "pg_derive."), see settings.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_BASE_SETTINGS_H
#define DERIVE_BASE_SETTINGS_H

extern int derive_audit_rate;	/* keys per second that are compared; 0: none */
extern int derive_batch_memory; /* kB that a tick's deltas may hold before they spill */
extern int derive_database_workers; /* databases that may have a pipeline */
extern char *derive_debug_step;		/* "<step>:kill" or "<step>:error", for crash tests */
extern bool derive_log_ticks;		/* one log line per tick */
extern int derive_max_retained_wal; /* MB that a slot may retain; 0: no limit */
extern int derive_request_retention; /* s, for which requests are remembered */
extern int derive_tick_interval;	 /* ms, least time between the starts of two ticks */

extern void derive_settings_define(void);

#endif /* DERIVE_BASE_SETTINGS_H */
