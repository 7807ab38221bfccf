# Derive::Outbox: an outbox compared with an independent record of what happened.
#
#   audited_table($node, 'orders');              # a table, and a trigger that writes orders_audit
#   create_audited_outbox($node, 'events', 'orders');
#   check_outbox($node, 'events', 'orders', 'after a crash');
#
# The record is made by a trigger on the table, within the writers' transactions: for each change
# its transaction, its number there, and the row before and after.  The order of commits is
# not in it; it must follow from the rows themselves: what an event calls old is what the event
# before it on the same key called new.

package Derive::Outbox;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use Test::More;

our @EXPORT = qw(audited_table create_audited_outbox check_outbox);

sub audited_table
{
	my ($node, $table) = @_;

	$node->safe_psql('postgres', qq{
		CREATE TABLE $table (id int PRIMARY KEY, v int, note text);
		CREATE TABLE ${table}_audit (n bigserial, xid xid8, op text, old jsonb, new jsonb);
		CREATE FUNCTION ${table}_audit() RETURNS trigger LANGUAGE plpgsql AS \$\$
		BEGIN
			INSERT INTO ${table}_audit (xid, op, old, new) VALUES (pg_current_xact_id(), lower(TG_OP),
				CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END, CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END);
			RETURN NULL;
		END \$\$;
		CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON $table FOR EACH ROW EXECUTE FUNCTION ${table}_audit();
	});
	return;
}

sub create_audited_outbox
{
	my ($node, $outbox, $table, $options) = @_;

	$node->safe_psql('postgres', qq{SELECT derive.create_outbox('$outbox', '$table',
		payload => 'jsonb_build_object(''old'', to_jsonb(old), ''new'', to_jsonb(new))'} . ($options // '') . ')');
	return;
}

# Compares; the pipeline has caught up.
sub check_outbox
{
	my ($node, $outbox, $table, $what) = @_;
	my $audit = "${table}_audit";
	my %wrong = (
		'what happened is what is told, once' => qq{
			(SELECT xid::text, op, old, new FROM $audit EXCEPT ALL
			 SELECT headers->>'xid', type, nullif(payload->'old', 'null'), nullif(payload->'new', 'null') FROM $outbox)
			UNION ALL
			(SELECT headers->>'xid', type, nullif(payload->'old', 'null'), nullif(payload->'new', 'null') FROM $outbox EXCEPT ALL
			 SELECT xid::text, op, old, new FROM $audit)},
		'in a transaction in the order of its changes' => qq{
			SELECT x.* FROM (SELECT e.headers->>'xid' AS xid, e.payload, row_number() OVER (PARTITION BY e.headers->>'xid' ORDER BY position) AS k
				FROM $outbox e) x
			JOIN (SELECT xid, old, new, row_number() OVER (PARTITION BY xid ORDER BY n) AS k FROM $audit) a
				ON a.xid::text = x.xid AND a.k = x.k
			WHERE (a.old, a.new) IS DISTINCT FROM (nullif(x.payload->'old', 'null'), nullif(x.payload->'new', 'null'))},
		'transactions in the order of commits, each in one piece' => qq{
			SELECT * FROM (SELECT position, (headers->>'commit_lsn')::pg_lsn AS l, (headers->>'ordinal')::int AS o, headers->>'xid' AS x,
				lag((headers->>'commit_lsn')::pg_lsn) OVER w AS pl, lag((headers->>'ordinal')::int) OVER w AS po, lag(headers->>'xid') OVER w AS px
				FROM $outbox WINDOW w AS (ORDER BY position)) s
			WHERE pl > l OR (pl = l AND (px <> x OR o <> po + 1)) OR (pl IS DISTINCT FROM l AND o <> 1)},
		'per key each event follows the one before' => qq{
			SELECT * FROM (SELECT aggregateid, nullif(payload->'old', 'null') AS old,
				lag(nullif(payload->'new', 'null')) OVER (PARTITION BY aggregateid ORDER BY position) AS before
				FROM $outbox) s WHERE old IS DISTINCT FROM before},
		'positions without a gap' => qq{
			SELECT * FROM (SELECT position, row_number() OVER (ORDER BY position) AS n FROM $outbox) s WHERE position <> n},
		'ids are different' => qq{SELECT id FROM $outbox GROUP BY id HAVING count(*) > 1},
		'none was updated' => qq{SELECT position FROM $outbox WHERE ctid <> ctid OR xmax <> 0});

	foreach my $check (sort keys %wrong)
	{
		is($node->safe_psql('postgres', "SELECT count(*) FROM ($wrong{$check}) x"), '0', "$what: $check");
	}
	return;
}

1;
