// Last of a chain for errors: the job has failed, whatever could be put right.
function fail(job, cb) {
    cb('Error executing job');
}
