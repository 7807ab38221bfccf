# Derive::Fault: things that happen to servers, made to happen.
#
#   stop_process($pid); ... continue_process($pid);
#   limit($pid, fsize => 1_000_000);  ...  limit($pid, fsize => undef);   # disk full for one process
#   my $copy = power_loss($node, 'copy');      # what the disk held at this moment, not started yet
#   set_clock($seconds)                        # of a server that was started with shifted_clock()
#
# Limits and signals need no rights beyond those of the server's own user.

package Derive::Fault;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Derive::Node;

our @EXPORT = qw(
  stop_process continue_process limit can_limit server_processes power_loss
  shifted_clock set_clock resident_mb temporary_files
);

# ---------------------------------------------------------------------------------------
# Processes
# ---------------------------------------------------------------------------------------

sub stop_process { my ($pid) = @_; kill 'STOP', $pid; return }
sub continue_process { my ($pid) = @_; kill 'CONT', $pid; return }

# The postmaster's process id, and those of its children.
sub server_processes
{
	my ($node) = @_;
	my $postmaster = postmaster_pid($node);
	my @pids = ($postmaster);

	foreach my $stat (glob '/proc/[0-9]*/stat')
	{
		open my $file, '<', $stat or next;
		my $line = <$file> // '';
		push @pids, $1 if $line =~ /^(\d+) \(.*\) \S (\d+) / && $2 == $postmaster;
	}
	return @pids;
}

# Says whether limit() works here.
sub can_limit
{
	return system("prlimit --pid $$ --fsize >/dev/null 2>&1") == 0;
}

# Sets or lifts (undef) a limit of one process: fsize, as; in bytes.
sub limit
{
	my ($pid, $what, $bytes) = @_;

	return system('prlimit', '--pid', $pid, "--$what=" . ($bytes // 'unlimited') . ':') == 0;
}

# What a process keeps to itself, in MB.
sub resident_mb
{
	my ($pid) = @_;
	my $kb = 0;
	open my $file, '<', "/proc/$pid/smaps_rollup" or return 0;

	while (my $line = <$file>)
	{
		$kb += $1 if $line =~ /^Private_(?:Clean|Dirty):\s+(\d+)/;
	}
	return $kb / 1024;
}

# ---------------------------------------------------------------------------------------
# Disks
# ---------------------------------------------------------------------------------------

# Copies the data directory while no process of the server can write to it: what the kernel
# had been given at some moment.  The copy is a node that starts with crash recovery.
sub power_loss
{
	my ($node, $name) = @_;
	my $copy = PostgreSQL::Test::Cluster->new($name);
	my @pids = server_processes($node);

	kill 'STOP', @pids;
	mkdir $copy->basedir;
	mkdir $copy->data_dir, 0700;
	my $copied = system('cp', '-a', $node->data_dir . '/.', $copy->data_dir);
	kill 'CONT', @pids;
	die 'cannot copy the data directory' if $copied != 0;
	unlink $copy->data_dir . '/postmaster.pid';
	$copy->append_conf('postgresql.conf', 'port = ' . $copy->port);
	return $copy;
}

# Temporary files of the server, and what spills lie beside its slots.
sub temporary_files
{
	my ($node) = @_;
	my $data = $node->data_dir;

	return grep { !m{/(state|snap)$} } glob("$data/base/pgsql_tmp/* $data/pg_replslot/*/*");
}

# ---------------------------------------------------------------------------------------
# Clocks
# ---------------------------------------------------------------------------------------

my $shift_file;

# Returns a library that, preloaded into a server, shifts its time of day by what set_clock()
# says; undef where there is no compiler.
sub shifted_clock
{
	my $dir = PostgreSQL::Test::Utils::tempdir();

	$shift_file = "$dir/shift";
	append_to_file("$dir/clock.c", <<"C");
#include <fcntl.h>
#include <stdint.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int
gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
	struct timespec now;
	int32_t shift = 0;
	int fd = open("$shift_file", O_RDONLY);

	(void) tz;
	if (fd >= 0)
	{
		if (read(fd, &shift, sizeof(shift)) != sizeof(shift))
			shift = 0;
		close(fd);
	}
	clock_gettime(CLOCK_REALTIME, &now);
	tv->tv_sec = now.tv_sec + shift;
	tv->tv_usec = now.tv_nsec / 1000;
	return 0;
}

/* pg_ctl compares it with what the postmaster has by the function above. */
time_t
time(time_t *result)
{
	struct timeval now;

	gettimeofday(&now, NULL);
	if (result != NULL)
		*result = now.tv_sec;
	return now.tv_sec;
}
C
	return system("cc -shared -fPIC -O1 -o $dir/clock.so $dir/clock.c >/dev/null 2>&1") == 0
	  ? "$dir/clock.so"
	  : undef;
}

# Shifts the time of day, by seconds from the true one.
sub set_clock
{
	my ($seconds) = @_;

	open my $file, '>', "$shift_file.new" or die $!;
	print $file pack 'l', $seconds;
	close $file;
	rename "$shift_file.new", $shift_file or die $!;
	return;
}

1;
